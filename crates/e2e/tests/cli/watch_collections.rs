//! `lastref watch` of Go programs: what their collections say of growth.

use crate::explain::go::{CLEANUPS, Program, built};
use crate::watch::{events, of};
use e2e::files::Folder;
use e2e::{here, lastref};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Without collections of its own.
const NONE: &[(&str, &str)] = &[("GOGC", "off")];

/// What a watch of a program told that meanwhile does what `acts` says, so many milliseconds after its begin, until
/// the watch has ended.
fn watch(
    program: &mut Program,
    more: &[&str],
    acts: &(dyn Fn(u64) -> String + Sync),
) -> Vec<Value> {
    let pid = program.pid().to_string();
    let first = ["watch", "--json", "--pid", &pid, "--interval", "200ms"];
    let arguments = [&first, more].concat();
    let over = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let words = acts(u64::try_from(begun.elapsed().as_millis()).expect("it is short"));
                if !words.is_empty() {
                    program.does(&words);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let output = lastref::run(&arguments);
        over.store(true, Ordering::Relaxed);
        output
    });
    events(&output)
}

fn said(events: &[Value]) -> Vec<String> {
    let leaks = of(events, "leak");
    let word = |leak: &Value| match leak["state"].as_str() {
        Some("growing") => leak["leak"].as_str().map(str::to_owned),
        other => other.map(str::to_owned),
    };
    let words = leaks.iter().map(|leak| word(leak).expect("a word"));
    words.collect()
}

#[test]
fn growth_through_two_collections_is_a_leak_before_the_window_ends() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let mut program = Program::with(&program, "keep w_kept 3", NONE);
    let folder = Folder::new(here!());
    let record = folder.path("recording");
    let slow = lastref::calm();
    let (window, time) = (
        40 * slow + Duration::from_secs(40),
        20 * slow + Duration::from_secs(30),
    );
    let [window, time] = [window, time].map(|time| format!("{}ms", time.as_millis()));
    let arguments = ["--window", &window, "--for", &time, "--record", &record];
    let live = watch(&mut program, &arguments, &|t| {
        let collects = t % 2000 < 100;
        format!("keep w_kept 1{}", if collects { " gc" } else { "" })
    });
    assert_eq!(said(&live), ["suspected", "yes"], "{live:#?}");
    let leaks = of(&live, "leak");
    let certain = leaks[1];
    assert!(certain["collections"].as_u64() >= Some(2), "{certain:#}");
    assert_eq!(certain["holder"]["pid"], program.pid());
    assert_eq!(certain["objects"]["name"], "w_kept");
    // The same when it is replayed; and without the collections the window is not over.
    let replayed = lastref::run(&["watch", "--json", "--from", &record]);
    assert_eq!(of(&events(&replayed), "leak"), leaks);
    let text = std::fs::read_to_string(&record).expect("a recording");
    let lines = text.lines().map(|line| {
        let mut told: Value = serde_json::from_str(line).expect("JSON");
        if let Some(fields) = told.get_mut("sweep").and_then(Value::as_object_mut) {
            fields.remove("collections");
        }
        format!("{told}\n")
    });
    std::fs::write(&record, lines.collect::<String>()).expect("it is written");
    let replayed = lastref::run(&["watch", "--json", "--from", &record]);
    assert_eq!(said(&events(&replayed)), ["suspected"]);
}

#[test]
fn what_a_collection_closes_is_released_late() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let mut program = Program::with(&program, "keep w_other 1", NONE);
    let time = 16 * lastref::calm() + Duration::from_secs(12);
    let until = u64::try_from(time.as_millis()).expect("it is short") * 2 / 3;
    let time = format!("{}ms", time.as_millis());
    let live = watch(&mut program, &["--for", &time], &|t| match t {
        t if t < until => "drop w_dropped 1".into(),
        _ => "gc".into(),
    });
    assert_eq!(said(&live), ["suspected", "late-release"], "{live:#?}");
    let late = of(&live, "leak")[1];
    assert_eq!((&late["leak"], &late["open"]), (&"no".into(), &0.into()));
}
