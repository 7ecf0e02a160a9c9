//! Whose growth is told.

use super::*;
use model::ObjectGroup;

fn process(pid: u32, start_ticks: u64, comm: &str) -> Process {
    Process {
        pid,
        start_ticks: Some(start_ticks),
        comm: comm.into(),
        exe: Some(format!("/bin/{comm}").into()),
        ..Process::default()
    }
}

fn series(number: u32, scope: Scope, process: Process, value: u64) -> SeriesSample {
    SeriesSample {
        series: number,
        scope,
        by: By::Fd,
        holder: Holder::Process(Box::new(process)),
        holders: if scope == Scope::Program { value } else { 1 },
        pattern: None,
        objects: ObjectGroup {
            kind: Kind::Map,
            name: "conns".into(),
            type_name: "hash".into(),
            count: value,
            ids: vec![],
        },
        handles: value,
        fds: value,
        came: 1,
        went: 0,
        memory_bytes: 0,
        charged_to: None,
    }
}

/// A series that has one more with each of sixty sweeps, and one that stays as it is, of process 7.
fn told(growing: (Scope, Process)) -> Vec<(Leak, u64, Option<ProgramGrowth>)> {
    let (scope, process_of_it) = growing;
    let mut course = Course::new(10.0);
    for n in 0..60u32 {
        let mut all = vec![series(2, scope, process_of_it.clone(), u64::from(n) + 1)];
        if n == 0 {
            all.push(series(3, Scope::Process, process(7, 100, "agent"), 1));
        }
        course.observe(&SweepSample {
            t: f64::from(n),
            series: all,
            ..SweepSample::default()
        });
    }
    let who = Who {
        pid: 7,
        start_ticks: Some(100),
        program: ("agent".into(), Some("/bin/agent".into())),
    };
    let source = GrowthSource::Recording { seconds: 59.0 };
    let mut found: Vec<_> = course
        .grown(&who, source)
        .into_iter()
        .map(|(grown, _)| (grown.leak, grown.more, grown.program))
        .collect();
    found.sort_by_key(|(leak, ..)| *leak);
    found
}

#[test]
fn only_series_of_this_process_count() {
    // Its own.
    let ours = told((Scope::Process, process(7, 100, "agent")));
    assert_eq!(ours, [(Leak::No, 0, None), (Leak::Yes, 59, None)]);
    // Of one that had its pid before, of another process, of another program.
    for (scope, other) in [
        (Scope::Process, process(7, 50, "agent")),
        (Scope::Process, process(8, 100, "agent")),
        (Scope::Program, process(8, 100, "other")),
    ] {
        assert_eq!(told((scope, other)), [(Leak::No, 0, None)]);
    }
}

#[test]
fn growth_of_its_program_is_beside() {
    let all = told((Scope::Program, process(8, 200, "agent")));
    let [(leak, more, Some(program))] = all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((leak, more), (Leak::No, 0));
    assert_eq!((program.leak, program.processes), (Leak::Yes, 60));
    assert!((0.9..=1.1).contains(&program.per_second), "{program:?}");
}
