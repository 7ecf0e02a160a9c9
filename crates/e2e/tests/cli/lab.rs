//! The lab's leaks, as `lastref why` accounts for them.

use e2e::bpf::Kind;
use e2e::{Truth, here, lastref};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const LEAKED: u64 = 25;

/// A running scenario, killed when dropped.
struct Lab {
    process: Child,
    pid: u64,
    map: u32,
}

impl Lab {
    fn start() -> Self {
        let count = LEAKED.to_string();
        let mut process = lastref::command(&["lab", "run", "raw-fd", "--rate", "1000"])
            .args(["--count", &count])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        let mut output = BufReader::new(output);
        output.read_line(&mut line).expect("a line");
        // The scenario ends when nobody reads what it says.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        // raw-fd: pid 30135, map:10655 conn_events (8.0 MiB), …
        let after = |mark: &str| {
            let (_, rest) = line.split_once(mark).unwrap_or_else(|| panic!("{line}"));
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().unwrap_or_else(|_| panic!("{line}"))
        };
        Self {
            pid: after("pid "),
            map: after("map:") as u32,
            process,
        }
    }

    /// The account once all is leaked.
    fn account(&self) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let report = lastref::why(Kind::Map, self.map);
            let references = report["object"]["references"].as_array().cloned();
            let fds = references.into_iter().flatten().find(|r| r["by"] == "fd");
            if fds.is_some_and(|r| r["count"].as_u64() >= Some(LEAKED)) {
                return report;
            }
            assert!(Instant::now() < deadline, "no leak: {report}");
        }
    }

    fn map_is_gone(&self) -> bool {
        let truth = Truth::get();
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            truth.read().refcnt(Kind::Map, self.map).is_none()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One process with all the descriptors, one pin in its own mount namespace,
/// nothing else; and killed, it leaves nothing.
#[test]
fn raw_fd() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let mut lab = Lab::start();
    let report = lab.account();
    let object = &report["object"];
    assert_eq!(object["unexplained"], 0, "{object}");
    assert_eq!(object["refcnt"], object["explained"], "{object}");
    assert_eq!(object["state"], "in-use");
    let references = object["references"].as_array().expect("a list");
    assert_eq!(references.len(), 2, "{object}");
    for reference in references {
        let holders = reference["holders"].as_array().expect("a list");
        assert_eq!(holders.len(), 1, "{reference}");
        if reference["by"] == "fd" {
            assert_eq!(holders[0]["pid"], lab.pid);
            let fds = holders[0]["fds"].as_array().map(Vec::len);
            assert_eq!(fds.map(|n| n as u64), reference["count"].as_u64());
        } else {
            assert_eq!(reference["by"], "pin");
            assert_eq!(reference["count"], 1);
            assert_eq!(holders[0]["path"], "/sys/fs/bpf/lastref-lab/conn_events");
            assert_eq!(holders[0]["enter_pid"], lab.pid);
        }
    }
    lab.process.kill().expect("it can be killed");
    lab.process.wait().expect("it ends");
    assert!(lab.map_is_gone(), "map {} outlives the lab", lab.map);
}
