//! `/proc/PID/status`.

use crate::stat::number;

/// The process's id in its innermost pid namespace: the last number of the line
/// `NSpid:` (`task_state` in the kernel, which lists the namespaces from the
/// reader's inwards). `None` if there is no whole such line.
///
/// The process's name stands before it, with newlines escaped (`proc_task_name`),
/// so it cannot make up a line.
pub fn ns_pid(content: &[u8]) -> Option<u32> {
    let line = content
        .split_inclusive(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(b"NSpid:"))?;
    // A number that the reader's bound has cut would be a wrong one.
    let line = line.strip_suffix(b"\n")?;
    number(line.split(|&b| b == b'\t').next_back()?)
}

/// The process that a thread belongs to, in the reader's pid namespace: the line `Tgid:`.
pub fn thread_group(content: &[u8]) -> Option<u32> {
    crate::fdinfo::value(content, "Tgid").and_then(|tgid| u32::try_from(tgid).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_tells_its_process() {
        assert_eq!(
            thread_group(b"Name:\tcat\nTgid:\t6597\nPid:\t7000\n"),
            Some(6597)
        );
        assert_eq!(thread_group(b"Name:\tTgid:\t1\n"), None);
    }

    #[test]
    fn the_innermost_is_last() {
        assert_eq!(
            ns_pid(b"Name:\tcat\nNSpid:\t6597\nNSpgid:\t1\n"),
            Some(6597)
        );
        assert_eq!(ns_pid(b"NSpid:\t6597\t44\t1\n"), Some(1));
    }

    #[test]
    fn what_is_cut_or_wrong_is_no_reading() {
        for bad in [
            "",
            "Name:\tcat\n",
            "NSpid:\t6597\t4",
            "NSpid:\n",
            "NSpid:\tx\n",
            "Name:\tNSpid:\t1\n",
        ] {
            assert_eq!(ns_pid(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
