//! Objects whose references come and go while lastref looks.

mod carried;
mod nets;
mod watch;

use e2e::bpf::{self, Kind, Object};
use e2e::scene::{Child, Inherit};
use e2e::{here, lastref, scene};
use serde_json::json;

/// Two processes open and close files on maps as fast as they can. An account
/// that moves may be unsettled, but nothing in it is called unexplained.
#[test]
fn files_that_come_and_go() {
    let Some(s) = scene(here!(), |stage| {
        let maps: Vec<Object> = (0..20)
            .map(|_| bpf::hash("e2e_moving"))
            .collect::<Result<_, _>>()?;
        let ids: Vec<u32> = maps.iter().map(|m| m.id).collect();
        let churn = || {
            let ids = ids.clone();
            Child::start(Inherit::Nothing, move |stage| {
                // A thread of its own: the main one waits for the end.
                std::thread::spawn(move || {
                    let mut open = std::collections::VecDeque::new();
                    for id in ids.iter().cycle() {
                        open.extend(bpf::by_id(Kind::Map, *id));
                        if open.len() > 7 {
                            open.pop_front();
                        }
                    }
                });
                stage.ready(json!({}))
            })
        };
        let (_one, _two) = (churn()?, churn()?);
        stage.ready(json!({"maps": ids}))
    }) else {
        return;
    };
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10 {
        let report = lastref::ls();
        for id in s.ids("maps") {
            let map = lastref::find(&report, Kind::Map, id).expect("the map is listed");
            let accused = map["settled"] == true && map["unexplained"] != 0;
            let [refcnt, explained] = ["refcnt", "explained"].map(|name| &map[name]);
            assert!(
                !accused,
                "map:{id} moves, and is said to be settled with {explained} of {refcnt} references explained"
            );
            seen.insert(map["refcnt"].as_u64());
        }
    }
    assert!(seen.len() > 1, "nothing moved");
}

/// A process loads a program that uses a map, and closes it, again and again. The
/// program is gone at once; what it held is let go only after an RCU grace
/// period, so the map's count is above what any walk can find.
#[test]
fn programs_that_come_and_go() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_churned")?;
        let id = map.id;
        std::thread::spawn(move || {
            while bpf::filter_using("e2e_churn", &[&map]).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(4));
            }
        });
        stage.ready(json!({"map": id}))
    }) else {
        return;
    };
    for _ in 0..10 {
        let report = lastref::ls();
        let map = lastref::find(&report, Kind::Map, s.id("map")).expect("the map is listed");
        let [refcnt, explained] = ["refcnt", "explained"].map(|name| &map[name]);
        let accused = map["settled"] == true && map["unexplained"] != 0;
        assert!(
            !accused,
            "references of freed programs are called unexplained: {explained} of {refcnt}"
        );
    }
}
