//! A recording of a watch that somebody else wrote: read, replayed, and shown.
#![no_main]

use ledger::Growth;
use libfuzzer_sys::fuzz_target;
use model::WatchEvent;
use view::Style;

fuzz_target!(|bytes: &[u8]| {
    let Ok(recording) = record::recording(bytes) else {
        return;
    };
    let mut growth = Growth::new(recording.start.window_seconds);
    let mut events = vec![WatchEvent::Start(Box::new(recording.start))];
    for sweep in &recording.sweeps {
        let told = growth.observe(sweep).into_iter();
        events.extend(told.map(|event| WatchEvent::Leak(Box::new(event))));
    }
    let standing = growth.standing(1e9).into_iter();
    events.extend(standing.map(|event| WatchEvent::Leak(Box::new(event))));
    events.extend(recording.summary.map(|s| WatchEvent::Summary(Box::new(s))));
    for event in &events {
        let mut out = Vec::new();
        view::watch(event, &Style::default(), &mut out).expect("memory can always be written");
        let text = String::from_utf8(out).expect("what is shown is UTF-8");
        let clean = text
            .lines()
            .all(|line| model::escape_controls(line) == line);
        assert!(clean, "{text:?}");
    }
});
