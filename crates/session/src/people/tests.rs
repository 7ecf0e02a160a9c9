//! With real processes, as a walk might see them.

use super::*;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

/// A process of the test, and how a walk sees it.
struct Subject {
    child: Child,
    who: Who,
}

impl Subject {
    /// A shell that becomes another program when it is told to.
    fn new() -> Self {
        let words = ["-c", "read x; exec sleep 1000"];
        let mut shell = Command::new("sh");
        let child = shell.args(words).stdin(Stdio::piped()).spawn();
        let subject = Self {
            child: child.expect("a shell"),
            who: Who {
                start: 1,
                exec: 1,
                css_set: 1,
                cgroup: 1,
                comm: name("sh"),
            },
        };
        subject.wait_for("sh");
        subject
    }

    fn wait_for(&self, comm: &str) {
        while &*Proc::new().describe(self.pid()).expect("it lives").comm != comm {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn exec(&mut self) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(b"\n").expect("it reads");
        self.wait_for("sleep");
    }

    /// What one more sweep says of it that sees `who`.
    fn told(&self, proc: &Proc, remembered: &mut Remembered, who: Option<Who>) -> Process {
        let mut people = People::new(proc, std::mem::take(remembered));
        people.meet(&who.map(|who| (self.pid(), who)).into_iter().collect());
        let holder = people.holder(self.pid(), None, vec![]);
        *remembered = people.remember();
        match holder {
            Holder::Process(process) => *process,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(name: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    comm
}

/// Whoever is described from here is gone.
fn nowhere() -> Proc {
    Proc::with_root("/nowhere")
}

#[test]
fn a_process_that_stays_what_it_is_is_read_once() {
    let (subject, mut remembered) = (Subject::new(), Remembered::default());
    let first = subject.told(&Proc::new(), &mut remembered, Some(subject.who));
    assert_eq!(&*first.comm, "sh");
    assert!(first.start_ticks.is_some());
    for _ in 0..3 {
        let again = subject.told(&nowhere(), &mut remembered, Some(subject.who));
        assert_eq!(again, first);
    }
    // For so long.
    for known in remembered.0.values_mut() {
        known.until = Some(Instant::now());
    }
    let late = subject.told(&nowhere(), &mut remembered, Some(subject.who));
    assert_eq!(late.start_ticks, None);
}

#[test]
fn after_an_exec_it_is_another_program() {
    let (mut subject, mut remembered) = (Subject::new(), Remembered::default());
    let before = subject.told(&Proc::new(), &mut remembered, Some(subject.who));
    subject.exec();
    // A program of the same name, for all that the walk sees.
    let who = Who {
        exec: 2,
        ..subject.who
    };
    let after = subject.told(&Proc::new(), &mut remembered, Some(who));
    assert_eq!((&*before.comm, &*after.comm), ("sh", "sleep"));
    assert_ne!(before.exe, after.exe);
    assert_eq!(before.start_ticks, after.start_ticks);
}

#[test]
fn another_start_cgroup_or_name_is_described_anew() {
    let (subject, mut remembered) = (Subject::new(), Remembered::default());
    let who = subject.who;
    for other in [
        Who { start: 2, ..who },
        Who { css_set: 2, ..who },
        Who { cgroup: 2, ..who },
        Who {
            comm: name("bash"),
            ..who
        },
    ] {
        let first = subject.told(&Proc::new(), &mut remembered, Some(who));
        assert!(first.cgroup.is_some() && !remembered.0.is_empty());
        let anew = subject.told(&nowhere(), &mut remembered, Some(other));
        assert_eq!((&*anew.comm, anew.cgroup), ("", None), "{other:?}");
        // Nor is that taken for an answer.
        assert!(remembered.0.is_empty());
    }
}

#[test]
fn what_changed_meanwhile_or_was_not_seen_is_not_remembered() {
    let (subject, mut remembered) = (Subject::new(), Remembered::default());
    let earlier = Who {
        comm: name("earlier"),
        ..subject.who
    };
    for who in [Some(earlier), None] {
        let told = subject.told(&Proc::new(), &mut remembered, who);
        assert_eq!(&*told.comm, "sh");
        assert!(remembered.0.is_empty());
    }
    // One that a sweep does not meet is forgotten: its pid may be another's by the next.
    subject.told(&Proc::new(), &mut remembered, Some(subject.who));
    let proc = Proc::new();
    let mut people = People::new(&proc, std::mem::take(&mut remembered));
    people.meet(&FxHashMap::default());
    assert!(people.remember().0.is_empty());
}
