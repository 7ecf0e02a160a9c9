//! Runs `raw-fd` for the tests: `run MAP_NAME RATE COUNT|- MILLISECONDS|-`.

use lab::{CHILD_COMMAND, RawFd, child_main, run_raw_fd};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == CHILD_COMMAND) {
        child_main(words);
    }
    let words: Vec<String> = words.filter_map(|w| w.into_string().ok()).collect();
    let [map_name, rate, count, milliseconds] = words.as_slice() else {
        eprintln!("usage: run MAP_NAME RATE COUNT|- MILLISECONDS|-");
        return ExitCode::from(2);
    };
    let options = RawFd {
        rate: rate.parse().unwrap_or(f64::NAN),
        count: count.parse().ok(),
        duration: milliseconds.parse().ok().map(Duration::from_millis),
        map_name: map_name.clone(),
        ..RawFd::default()
    };
    match run_raw_fd(&options, &mut std::io::stdout().lock()) {
        Ok(outcome) => {
            eprintln!(
                "outcome: {} leaked, map:{}, gone {}",
                outcome.leaked, outcome.map_id, outcome.gone
            );
            ExitCode::from(u8::from(!outcome.gone))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(if error.needs().is_some() { 3 } else { 2 })
        }
    }
}
