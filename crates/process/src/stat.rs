//! `/proc/PID/stat`.

/// What is taken of `/proc/PID/stat` (`do_task_stat` in the kernel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Name, as any bytes without NUL: parentheses, spaces and newlines stand
    /// for themselves (`proc_task_name`, not escaped here). 15 bytes, up to 63
    /// for a kernel worker.
    pub comm: &'a [u8],
    /// `R`, `S`, `D`, `Z` …
    pub state: u8,
    /// The parent, in the reader's pid namespace; 0 if it is outside, or there is none.
    pub parent: u32,
    /// Threads, a dead main thread included.
    pub threads: u32,
    /// When it started, in clock ticks (1/100 s) since boot, as the reader's
    /// time namespace counts.
    pub start_ticks: u64,
}

impl Stat<'_> {
    /// The main thread has exited; others may go on.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Parses the file; `None` if it is not in that format.
///
/// The name may hold `") R 1 ("`, so it ends at the *last* parenthesis: all that
/// follows is numbers.
pub fn parse(content: &[u8]) -> Option<Stat<'_>> {
    let open = content.iter().position(|&b| b == b'(')?;
    let close = content.iter().rposition(|&b| b == b')')?;
    let comm = content.get(open + 1..close)?;
    let after = content.get(close + 1..)?;
    let mut fields = after.trim_ascii().split(|&b| b == b' ');
    // proc_pid_stat(5) counts from 1: 1 pid, 2 comm, 3 state, 4 ppid, 20 num_threads, 22 starttime.
    let &[state] = fields.next()? else {
        return None;
    };
    Some(Stat {
        comm,
        state,
        parent: number(fields.next()?)?,
        threads: number(fields.nth(20 - 5)?)?,
        start_ticks: number(fields.nth(1)?)?,
    })
}

/// A decimal number that fits.
pub(crate) fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str =
        "S 6592 6592 4431 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 3 0 159487 3133440 380";

    #[test]
    fn takes_state_threads_and_start() {
        let text = format!("6599 (cat) {REST}\n");
        let expected = Stat {
            comm: b"cat",
            state: b'S',
            parent: 6592,
            threads: 3,
            start_ticks: 159_487,
        };
        assert_eq!(parse(text.as_bytes()), Some(expected));
    }

    #[test]
    fn the_name_ends_at_the_last_parenthesis() {
        for comm in [
            ") R 1 (",
            "(sd-pam)",
            "a\nb",
            "",
            ")",
            "(",
            "kworker/u8:2-events_unbound",
        ] {
            let text = format!("1 ({comm}) {REST}");
            let stat = parse(text.as_bytes()).expect(comm);
            assert_eq!((stat.comm, stat.start_ticks), (comm.as_bytes(), 159_487));
        }
    }

    #[test]
    fn what_is_cut_or_wrong_is_no_reading() {
        let text = format!("6599 (cat) {REST}\n");
        let end = text.find(" 159487").expect("the start is in it");
        for cut in 0..=end {
            assert_eq!(parse(&text.as_bytes()[..cut]), None, "cut at {cut}");
        }
        for bad in ["159487x", "-1", "99999999999999999999", "+1"] {
            assert_eq!(parse(text.replace("159487", bad).as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(b")("), None);
    }
}
