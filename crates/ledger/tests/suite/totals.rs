//! Totals add up.

use crate::build::*;
use ledger::{Ledger, Sight};
use model::{Kind, State};

#[test]
fn totals_are_kept_per_kind_and_state() {
    let mut unknown_size = map(3, "hash");
    unknown_size.facts.memory_bytes = None;
    let readings = || {
        vec![
            map(1, "hash").fd(1, &[1, 2]),
            map(2, "hash").pinned("/x").counts(4),
            unknown_size.clone(),
            prog(1).fd(1, &[1, 2]).counts(1),
            btf(1, true),
        ]
    };
    let before = close(readings());
    let ledger = Ledger::close(readings(), &Sight::default(), Some(&before));
    let totals = Ledger::totals(ledger.objects());
    let [maps, progs, links, btfs] = totals.kinds;
    assert_eq!(maps.kind, Kind::Map);
    assert_eq!(
        (maps.objects, maps.accounts, maps.refcnt, maps.explained),
        (3, 3, 6, 3)
    );
    assert_eq!(
        (maps.unexplained, maps.with_unexplained, maps.unsettled),
        (3, 1, 0)
    );
    assert_eq!((maps.memory_bytes, maps.memory_unknown), (2000, 1));
    assert_eq!(maps.in_state(State::InUse), 1);
    assert_eq!(maps.in_state(State::Unknown), 1);
    assert_eq!(maps.in_state(State::Unreferenced), 1);
    assert_eq!(
        (progs.moving, progs.unsettled, progs.unexplained),
        (-1, 1, 0)
    );
    assert_eq!(links.objects, 0);
    assert_eq!((btfs.objects, btfs.accounts), (1, 0));
    assert_eq!(totals.in_state(State::InUse), 2);
    assert_eq!(totals.memory_bytes(), 4000);
}

#[test]
fn what_is_out_of_sight_is_summed_apart() {
    let sight = Sight {
        holders_out_of_sight: Some("x".into()),
        ..Sight::default()
    };
    let ledger = Ledger::close(vec![map(1, "hash").fd(1, &[1]).counts(4)], &sight, None);
    let maps = Ledger::totals(ledger.objects()).kinds[0];
    assert_eq!(
        (maps.out_of_sight, maps.unexplained, maps.moving),
        (3, 0, 0)
    );
}
