//! All answers together.

use super::{COMMANDS, Judgement, Says, Verdict};
use serde::Serialize;
use std::fmt::Write as _;

/// One question to lastref.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The scenario.
    pub scenario: &'static str,
    /// The command.
    pub command: &'static str,
    /// The scenario leaks.
    pub leaks: bool,
    /// What came of it.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Objects of the scenario that were still there a while after its end.
    pub left_behind: Vec<String>,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// As the truth has it.
    pub right: usize,
    /// Something that is not true.
    pub wrong: usize,
    /// It said that it does not know.
    pub unknown: usize,
    /// Never asked.
    pub not_run: usize,
}

impl Totals {
    fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let mut totals = Self::default();
        for case in cases {
            *match case.judgement.result {
                Verdict::Right => &mut totals.right,
                Verdict::Wrong => &mut totals.wrong,
                Verdict::Unknown => &mut totals.unknown,
                Verdict::NotRun => &mut totals.not_run,
            } += 1;
        }
        totals
    }

    /// Those that ran: what shares are shares of.
    pub fn ran(self) -> usize {
        self.right + self.wrong + self.unknown
    }
}

/// What came of all questions.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// In the order in which they were asked.
    pub cases: Vec<Case>,
}

impl Score {
    /// Of all commands.
    pub fn totals(&self) -> Totals {
        Totals::of(self.cases.iter())
    }

    /// Of one command.
    pub fn of(&self, command: &str) -> Totals {
        Totals::of(self.cases.iter().filter(|case| case.command == command))
    }

    /// What was said of programs that leak and of those that do not.
    fn confusion(&self, out: &mut String) {
        out.push_str(
            "\n| command | program | says a leak | says none | does not know | not run |\n",
        );
        out.push_str("|---|---|---|---|---|---|\n");
        // `ls` is not asked whether anything leaks.
        for command in COMMANDS.into_iter().filter(|&command| command != "ls") {
            for (leaks, program) in [(true, "leaks"), (false, "does not leak")] {
                let cases = || {
                    let all = self.cases.iter();
                    all.filter(move |case| case.command == command && case.leaks == leaks)
                };
                let said = |says| {
                    let cases = cases().filter(|case| case.judgement.result != Verdict::NotRun);
                    cases
                        .filter(|case| case.judgement.says == Some(says))
                        .count()
                };
                let _ = writeln!(
                    out,
                    "| `{command}` | {program} | {} | {} | {} | {} |",
                    said(Says::Leak),
                    said(Says::NoLeak),
                    said(Says::NotKnown),
                    Totals::of(cases()).not_run
                );
            }
        }
    }

    /// As a page: results by command, then what was not right.
    pub fn markdown(&self, about: &str) -> String {
        let mut out = format!("# Score\n\n{about}\n\n");
        out.push_str("| command | right | wrong | unknown | right of those that ran | not run |\n");
        out.push_str("|---|---|---|---|---|---|\n");
        for command in COMMANDS {
            let totals = self.of(command);
            let _ = writeln!(
                out,
                "| `{command}` | {} | {} | {} | {} | {} |",
                totals.right,
                totals.wrong,
                totals.unknown,
                share(totals.right, totals.ran()),
                totals.not_run
            );
        }
        self.confusion(&mut out);
        out.push_str("\n| scenario |");
        for command in COMMANDS {
            let _ = write!(out, " {command} |");
        }
        out.push_str("\n|---|---|---|---|---|\n");
        for cases in self.cases.chunk_by(|a, b| a.scenario == b.scenario) {
            let results = cases.iter().map(|case| case.judgement.result.to_string());
            let results: Vec<String> = results.collect();
            let _ = writeln!(out, "| {} | {} |", cases[0].scenario, results.join(" | "));
        }
        let told = |case: &&Case| match case.judgement.result {
            Verdict::Right => false,
            Verdict::Wrong | Verdict::Unknown => true,
            Verdict::NotRun => case.judgement.why != NO_COMMAND,
        };
        let mut reasons = self.cases.iter().filter(told).peekable();
        if reasons.peek().is_some() {
            out.push_str("\n## What is not right\n\n");
        }
        for case in reasons {
            let why = case.judgement.why.replace('\n', " ");
            let _ = writeln!(
                out,
                "- `{}` on {}, {}: {why}",
                case.command, case.scenario, case.judgement.result
            );
        }
        let left = self
            .cases
            .iter()
            .filter(|case| !case.left_behind.is_empty());
        for case in left {
            let what = case.left_behind.join(", ");
            let _ = writeln!(out, "- {} left behind: {what}", case.scenario);
        }
        out
    }
}

/// Why most questions are not asked for now.
pub const NO_COMMAND: &str = "there is no such command yet";

fn share(part: usize, whole: usize) -> String {
    match whole {
        0 => "–".into(),
        _ => format!("{:.0} %", 100.0 * part as f64 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(scenario: &'static str, command: &'static str, result: Verdict) -> Case {
        let says = (command == "watch").then_some(Says::Leak);
        let judgement = Judgement {
            result,
            says,
            ..Judgement::not_run("because")
        };
        Case {
            scenario,
            command,
            leaks: scenario != "c",
            judgement,
            left_behind: Vec::new(),
        }
    }

    #[test]
    fn what_did_not_run_is_in_no_share() {
        let score = Score {
            cases: vec![
                case("a", "ls", Verdict::Right),
                case("a", "watch", Verdict::NotRun),
                case("b", "ls", Verdict::Wrong),
                case("b", "watch", Verdict::NotRun),
                case("c", "ls", Verdict::NotRun),
                case("c", "watch", Verdict::Unknown),
            ],
        };
        let expected = Totals {
            right: 1,
            wrong: 1,
            unknown: 1,
            not_run: 3,
        };
        assert_eq!(score.totals(), expected);
        assert_eq!(score.of("ls").ran(), 2);
        let page = score.markdown("About.");
        assert!(page.contains("| `ls` | 1 | 1 | 0 | 50 % | 1 |"), "{page}");
        assert!(page.contains("| `watch` | 0 | 0 | 1 | 0 % | 2 |"), "{page}");
        assert!(page.contains("| `check` | 0 | 0 | 0 | – | 0 |"), "{page}");
        assert!(page.contains("- `ls` on b, wrong: because"), "{page}");
        // Of what did not run nothing was said.
        let leaks = "| `watch` | leaks | 0 | 0 | 0 | 2 |";
        let clean = "| `watch` | does not leak | 1 | 0 | 0 | 0 |";
        assert!(page.contains(leaks) && page.contains(clean), "{page}");
    }
}
