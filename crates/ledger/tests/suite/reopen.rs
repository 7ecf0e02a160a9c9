//! Accounts that come back from a report.

use crate::build::*;
use crate::properties::any_pass;
use ledger::{Ledger, Name, NameError, Place, Sight};
use model::{By, Holder, Kind, Object, State};
use proptest::prelude::*;

fn report(name: &str) -> Place {
    Place::Report {
        name: name.into(),
        file: name.into(),
    }
}

/// What a ledger answers about every object.
fn answers(ledger: &Ledger) -> Vec<String> {
    let objects = ledger.objects().iter();
    objects
        .filter_map(|o| o.facts.object_id())
        .map(|id| {
            let (chains, plan) = (ledger.chains(id, 50), ledger.release_plan(id));
            format!("{id} {chains:?} {plan:?}")
        })
        .collect()
}

proptest! {
    #[test]
    fn all_answers_are_the_same(readings in any_pass(), dark: bool) {
        let sight = Sight {
            holders_out_of_sight: dark.then(|| "lastref (v0) runs in a child pid namespace".into()),
            ..Sight::default()
        };
        let ledger = Ledger::close(readings, &sight, None);
        let (again, corrections) = Ledger::reopen(ledger.objects().to_vec());
        prop_assert_eq!(corrections, vec![]);
        prop_assert_eq!(again.objects(), ledger.objects());
        prop_assert_eq!(answers(&again), answers(&ledger));
    }

    #[test]
    fn numbers_that_contradict_each_other_are_put_right(
        readings in any_pass(), explained: u64, unexplained: Option<i64>, settled: bool,
    ) {
        let mut objects = close(readings).into_objects();
        for object in &mut objects {
            object.explained = explained;
            object.unexplained = unexplained;
            object.settled = settled;
        }
        let (again, _) = Ledger::reopen(objects);
        let (_, corrections) = Ledger::reopen(again.objects().to_vec());
        prop_assert_eq!(corrections, vec![]);
        for object in again.objects() {
            if let (Some(refcnt), Some(left)) = (object.facts.refcnt, object.unexplained) {
                prop_assert_eq!(i128::from(refcnt), i128::from(object.explained) + i128::from(left));
            }
            prop_assert!(!object.settled || object.unexplained.is_none_or(|left| left >= 0));
        }
    }
}

#[test]
fn a_state_rests_on_what_was_seen_then() {
    let all = close(vec![map(1, "hash").prog(5), prog(5).fd(7, &[3])]);
    let only_maps: Vec<Object> = all.objects()[..1].to_vec();
    assert_eq!(only_maps[0].state, State::InUse);
    let (again, _) = Ledger::reopen(only_maps.clone());
    assert_eq!(again.objects(), &only_maps[..]);
    // What holds the program is not there to be followed, and that is said.
    let plan = again.release_plan(id("map:1"));
    assert!(
        plan.caveats.iter().any(|c| c.contains("prog:5")),
        "{plan:?}"
    );
}

#[test]
fn huge_numbers_do_not_wrap() {
    let mut object = close(vec![map(1, "hash").fd(7, &[3])])
        .into_objects()
        .remove(0);
    object.facts.references[0].count = u64::MAX;
    object
        .facts
        .references
        .push(object.facts.references[0].clone());
    object.facts.refcnt = Some(0);
    let (again, corrections) = Ledger::reopen(vec![object]);
    assert_eq!(again.objects()[0].explained, u64::MAX);
    assert_eq!(again.objects()[0].unexplained, Some(i64::MIN));
    assert_eq!(corrections.len(), 3, "{corrections:?}");
}

#[test]
fn objects_are_found_by_every_name() {
    let elsewhere = |path: &str, pid| {
        let mut holder = pin(path);
        if let Holder::Pin(pin) = &mut holder {
            pin.enter_pid = Some(pid);
        }
        vec![holder]
    };
    let ledger = close(vec![
        map(1, "hash").fd(7, &[3, 4]).pinned("/b/x"),
        map(2, "hash").held(By::Pin, 1, elsewhere("/b/x", 70)),
        map(3, "hash").held(By::Pin, 1, elsewhere("/b/y", 70)),
        map(4, "hash").held(By::Pin, 1, elsewhere("/b/y", 71)),
        prog(1),
    ]);
    let find = |words: &str| ledger.named(Name::parse(words)?, &report("a"));
    let through = |pid: u32, path: &str| format!("/proc/{pid}/root{path}");
    for (words, found) in [
        ("map:2", "map:2"),
        ("map:map3", "map:3"),
        ("prog:prog1", "prog:1"),
        ("pid:7/fd:4", "map:1"),
        ("/proc/7/fd/3", "map:1"),
        ("/b/x", "map:1"),
        (&through(70, "/b/x"), "map:2"),
        (&through(71, "/b/y"), "map:4"),
    ] {
        assert_eq!(find(words), Ok(id(found)), "{words}");
    }
    let error = |words: &str| find(words).expect_err(words).to_string();
    assert!(error("map:9").contains("no map:9 in a; `lastref ls maps --from a`"));
    assert!(error("map:none").contains("--from a"));
    assert!(error("/b/y").contains("map:3, map:4"));
    assert!(error(&through(72, "/b/y")).contains("pinned there"));
    assert!(error("pid:7/fd:5").contains("descriptor 5 of process 7"));
    assert!(matches!(Name::parse("frob:1"), Err(NameError::Form(_))));
    assert_eq!(Name::parse("map:x"), Ok(Name::Name(Kind::Map, "x")));
}
