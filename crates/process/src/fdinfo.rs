//! `/proc/PID/fdinfo/FD`.

use crate::stat::number;

/// The number after `key:` in the first line that begins so.
///
/// The first, because what comes later may be made up: the kernel writes an
/// object's id before any name that users choose (`bpf_map_show_fdinfo`,
/// `bpf_prog_show_fdinfo`, `bpf_link_show_fdinfo`), and a uprobe link's path may
/// hold a newline. A line that has no end may have been cut, and does not count.
pub fn value(content: &[u8], key: &str) -> Option<u64> {
    let rest = content
        .split_inclusive(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
    number(rest.strip_suffix(b"\n")?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_whole_line_counts() {
        let content = b"pos:\t0\nmap_id:\t25\npath:\tx\nmap_id:\t7\nmemlock:\t320\nfrozen:\t0";
        assert_eq!(value(content, "map_id"), Some(25));
        assert_eq!(value(content, "memlock"), Some(320));
        for absent in ["id", "map_i", "prog_id", "path", "frozen"] {
            assert_eq!(value(content, absent), None, "{absent}");
        }
    }
}
