//! What a watch has said in a machine, and what ran there meanwhile.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The process that leaks on purpose.
const CONTROL: &str = "lab-raw-fd";

/// Gathered line by line.
#[derive(Debug, Default)]
pub struct Seen {
    /// The tools that ran to the end, with how many lines each wrote.
    ran: Vec<(String, String)>,
    /// Those that did not start or ended early, with the last they said.
    ended: Vec<(String, String)>,
    /// What else the script says.
    notes: Vec<String>,
    /// All events but the first and the last, in words, and how often.
    said: BTreeMap<String, u64>,
    /// Series that are called a leak.
    leaks: BTreeSet<String>,
    /// What leaks on purpose is called so.
    control: bool,
    /// The last event.
    summary: Value,
    /// Processes that held BPF objects, and what the sweeps saw them acquire.
    processes: BTreeSet<(u64, u64)>,
    acquired: u64,
    sweeps: u64,
    seconds: f64,
}

impl Seen {
    /// A line of the watch's or of the script's. They come on one stream.
    pub fn line(&mut self, line: &str) {
        match serde_json::from_str::<Value>(line) {
            Ok(event) if event["event"].is_string() => return self.event(&event),
            _ => {}
        }
        let pair = |rest: &str| {
            let (name, says) = rest.split_once(' ').unwrap_or((rest, ""));
            (name.trim_end_matches(':').to_owned(), says.to_owned())
        };
        if let Some(rest) = line.strip_prefix("wild-ran ") {
            self.ran.push(pair(rest));
        } else if let Some(rest) = line.strip_prefix("wild-ended ") {
            self.ended.push(pair(rest));
        } else {
            // The watch's text, the shell's complaints.
            eprintln!("{line}");
            self.notes
                .extend(line.strip_prefix("wild: ").map(str::to_owned));
        }
    }

    fn event(&mut self, event: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let holder = &event["holder"];
        let who = ["comm", "name", "target", "path", "what"]
            .iter()
            .find_map(|key| holder[key].as_str())
            .unwrap_or("?");
        let objects = &event["objects"];
        let what = format!("{} {}", text(&objects["kind"]), text(&objects["name"]));
        let words = match event["event"].as_str().unwrap_or_default() {
            "start" => return,
            "summary" => {
                self.summary = event.clone();
                return;
            }
            "leak" => {
                if who == CONTROL {
                    self.control |= event["leak"] == "yes";
                } else if event["leak"] == "yes" {
                    self.leaks
                        .insert(format!("{}: {event}", text(&event["id"])));
                }
                format!(
                    "{} ({}) {who}: {what}",
                    text(&event["leak"]),
                    text(&event["state"])
                )
            }
            "open-at-exit" => format!("open-at-exit {who}: {what}"),
            "left-behind" => {
                let object = &event["object"];
                format!(
                    "left-behind {} {}: {who}",
                    text(&object["kind"]),
                    text(&object["name"])
                )
            }
            "command" => format!("command: exit code {}", event["exit_code"]),
            other => format!("{other}: {event}"),
        };
        eprintln!("{:8.1} {words}", event["t"].as_f64().unwrap_or_default());
        *self.said.entry(words).or_default() += 1;
    }

    /// What the watch wrote down: a line of JSON for each sweep.
    pub fn recording(&mut self, text: &str) {
        for line in text.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let sweep = &line["sweep"];
            let Some(t) = sweep["t"].as_f64() else {
                continue;
            };
            self.sweeps += 1;
            self.seconds = t;
            for series in sweep["series"].as_array().into_iter().flatten() {
                let holder = &series["holder"];
                let number = |value: &Value| value.as_u64().unwrap_or_default();
                // Each is counted once more among all processes of its program.
                if series["scope"] == "process" {
                    self.processes
                        .insert((number(&holder["pid"]), number(&holder["start_ticks"])));
                    self.acquired += number(&series["came"]);
                }
            }
        }
    }

    /// Prints it. True if nothing was called a leak, and enough ran for that to mean something.
    pub fn report(&self, kernel: &str) -> bool {
        println!("kernel: {kernel}");
        for note in &self.notes {
            println!("note: {note}");
        }
        println!("ran: {}", self.ran.len());
        for (name, lines) in &self.ran {
            println!("   {name} ({lines} lines)");
        }
        println!("did not run: {}", self.ended.len());
        for (name, says) in &self.ended {
            println!("   {name}: {says}");
        }
        println!(
            "seen in {} sweeps in {:.0} s: {} processes with BPF objects, {} acquisitions",
            self.sweeps,
            self.seconds,
            self.processes.len(),
            self.acquired
        );
        println!("created: {}", self.summary["created"]);
        println!("cost: {}", self.summary["cost"]);
        println!("said:");
        for (words, times) in &self.said {
            println!("   {times} × {words}");
        }
        for leak in &self.leaks {
            println!("CALLED A LEAK: {leak}");
        }
        if !self.control {
            println!("NOTHING PROVED: {CONTROL} leaks all the time, and is not called a leak");
        }
        if self.ran.is_empty() {
            println!("NOTHING PROVED: no tool ran");
        }
        self.leaks.is_empty() && self.control && !self.ran.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leak(who: &str, leak: &str) -> String {
        format!(
            concat!(
                r#"{{"event":"leak","id":"L1","t":1.5,"state":"growing","leak":"{}","#,
                r#""holder":{{"comm":"{}"}},"objects":{{"kind":"map","name":"m"}}}}"#
            ),
            leak, who
        )
    }

    #[test]
    fn a_leak_is_one_and_a_suspicion_is_none() {
        let mut seen = Seen::default();
        seen.line(r#"{"event":"start","t":0}"#);
        seen.line("wild-ran opensnoop 12");
        seen.line(&leak(CONTROL, "yes"));
        seen.line(&leak("x", "suspected"));
        seen.line(&leak("x", "suspected"));
        assert_eq!(seen.said["suspected (growing) x: map m"], 2);
        assert!(seen.report("k"));
        seen.line(&leak("x", "yes"));
        assert!(!seen.report("k"));
    }

    #[test]
    fn a_run_that_could_not_fail_is_no_success() {
        let mut seen = Seen::default();
        seen.line("wild-ran opensnoop 12");
        seen.line(&leak(CONTROL, "suspected"));
        assert!(!seen.report("k"));

        let mut seen = Seen::default();
        seen.line("wild-ended llcstat: failed to init");
        assert_eq!(
            seen.ended,
            [("llcstat".to_owned(), "failed to init".to_owned())]
        );
        seen.line(&leak(CONTROL, "yes"));
        assert!(!seen.report("k"));
    }

    #[test]
    fn a_recording_is_counted() {
        let mut seen = Seen::default();
        seen.recording(
            r#"{"recording":"lastref.recording/0","start":{}}
{"sweep":{"t":1.0,"series":[{"scope":"process","came":2,"holder":{"pid":7,"start_ticks":1}},
{"sweep":{"t":2.0,"series":[{"scope":"process","came":2,"holder":{"pid":7,"start_ticks":1}},{"scope":"program","came":2,"holder":{}}]}}
{"sweep":{"t":4.0,"series":[{"scope":"process","came":1,"holder":{"pid":8,"start_ticks":1}}]}}"#,
        );
        assert_eq!(
            (seen.sweeps, seen.processes.len(), seen.acquired),
            (2, 2, 3)
        );
    }
}
