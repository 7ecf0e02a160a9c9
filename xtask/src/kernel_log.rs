//! Finds in a machine's console log what no test may cause: warnings, oopses, stalls, a panic.
//!
//! The console writes each record with its level (`console_msg_format=syslog`). `vm-init` notes in
//! the same log which command begins, so a complaint is laid at the right test's door.

/// Words by which the kernel introduces a complaint about itself.
const COMPLAINTS: [&str; 9] = [
    "WARNING:",
    "BUG:",
    "Oops",
    "Call Trace:",
    "Kernel panic",
    "general protection fault",
    "UBSAN:",
    "refcount_t:",
    "blocked for more than",
];

/// Records of one report are not counted again: a report ends with "end trace" or after so many.
const LONGEST_REPORT: usize = 80;
/// What `vm-init` writes into the log.
const MARK: &str = "lastref-vm: ";

/// A complaint of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Index of the command that was running; `None` before the first and after the last.
    pub during: Option<usize>,
    /// Its first line, and up to nineteen that follow.
    pub lines: Vec<String>,
}

/// All complaints after the machine was ready. What a boot on an emulated processor complains
/// about is not the tests' doing.
pub fn complaints(log: &str) -> Vec<Complaint> {
    let mut found: Vec<Complaint> = Vec::new();
    let mut ready = false;
    let mut during = None;
    // Records left in the report that is being read.
    let mut report = 0_usize;
    for line in log.lines() {
        let (level, text) = record(line);
        if let Some((_, mark)) = text.split_once(MARK) {
            ready = true;
            let mut words = mark.split(' ');
            during = match words.next() {
                Some("begin") => words.next().and_then(|n| n.parse().ok()),
                _ => None,
            };
            report = 0;
            continue;
        }
        if !ready {
            continue;
        }
        let complains = level <= 4 && COMPLAINTS.iter().any(|word| text.contains(word));
        if report > 0 {
            report -= 1;
            if let Some(last) = found.last_mut()
                && last.lines.len() < 20
            {
                last.lines.push(text.to_owned());
            }
            if text.contains("end trace") {
                report = 0;
            }
        } else if complains {
            found.push(Complaint {
                during,
                lines: vec![text.to_owned()],
            });
            report = LONGEST_REPORT;
        }
    }
    found
}

/// The last words of a kernel that panicked, also during boot.
pub fn panic(log: &str) -> Option<String> {
    log.lines()
        .map(|line| record(line).1)
        .find(|text| text.contains("Kernel panic"))
        .map(str::to_owned)
}

/// Level and text of a line. A line without a level is believed to be severe: it is the tail of
/// a record, or of a kernel that could not write any better.
fn record(line: &str) -> (u32, &str) {
    let line = line.trim_end_matches('\r');
    line.strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .and_then(|(level, text)| Some((level.parse::<u32>().ok()? & 7, text)))
        .map_or((0, line), |(level, text)| (level, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_laid_at_the_command_that_ran() {
        let log = "<4>[ 0.1] WARNING: at boot\r\n<4>[ 1.0] lastref-vm: begin 7\r\n\
            <4>[ 1.1] ------------[ cut here ]------------\r\n<4>[ 1.1] WARNING: CPU: 0 PID: 9 at x.c:1\r\n\
            <4>[ 1.1] Call Trace:\r\n<4>[ 1.1] ---[ end trace 0 ]---\r\n\
            <4>[ 1.2] lastref-vm: end 7\r\n<1>[ 1.3] BUG: unable to handle page fault\r\n";
        let found = complaints(log);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].during, Some(7));
        assert!(found[0].lines[0].ends_with("WARNING: CPU: 0 PID: 9 at x.c:1"));
        assert_eq!(found[0].lines.len(), 3);
        assert_eq!(found[1].during, None);
    }

    #[test]
    fn chatter_is_no_complaint() {
        let log = "<4>[ 1.0] lastref-vm: begin 0\n<6>[ 1.1] info about WARNING: words\n\
            <4>[ 1.2] a module taints the kernel\n";
        assert_eq!(complaints(log), vec![]);
    }

    #[test]
    fn a_panic_is_found_even_during_boot() {
        let log = "<0>[ 0.5] Kernel panic - not syncing: no init\n";
        assert_eq!(complaints(log), vec![]);
        assert!(panic(log).unwrap().contains("no init"));
    }
}
