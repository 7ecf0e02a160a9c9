//! `/proc/PID/fdinfo/FD`.

use crate::stat::number;

/// The number after `key:` in the first line that begins so.
///
/// The first, because what comes later may be made up: the kernel writes an
/// object's id before any name that users choose (`bpf_map_show_fdinfo`,
/// `bpf_prog_show_fdinfo`, `bpf_link_show_fdinfo`), and a uprobe link's path may
/// hold a newline. A line that has no end may have been cut, and does not count.
pub fn value(content: &[u8], key: &str) -> Option<u64> {
    number(field(content, key)?)
}

/// The same of a number of kB, which are KiB, in bytes: as `status` and `smaps_rollup` have them.
pub(crate) fn bytes(content: &[u8], key: &str) -> Option<u64> {
    let digits = field(content, key)?.strip_suffix(b" kB")?;
    number::<u64>(digits)?.checked_mul(1 << 10)
}

fn field<'a>(content: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let rest = content
        .split_inclusive(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
    Some(rest.strip_suffix(b"\n")?.trim_ascii())
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

    #[test]
    fn kilobytes() {
        let content = b"Rss:  12 kB\nAnonymous:             100 kB\nSwap: 3\n";
        assert_eq!(bytes(content, "Anonymous"), Some(102_400));
        assert_eq!(bytes(content, "Swap"), None);
        assert_eq!(bytes(b"A: 99999999999999999 kB\n", "A"), None);
    }
}
