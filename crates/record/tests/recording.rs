//! Recordings that are cut off, of a later version, or wrong.

use record::recording;

const START: &str = r#"{"recording":"lastref.recording/0","start":{"schema":"lastref.watch/0","t":0.0,"time":"2026-11-27T23:37:39.007Z","source":"sweep","cost":"","window_seconds":2.0,"kernel":"6.12","boot_id":null,"cannot_see":[]}}"#;
const CREATED: &str = r#""created":{"map":0,"prog":0,"link":0}"#;

/// How many sweeps are read of these lines after the first, and why no more.
fn read(lines: &[&str]) -> (usize, Option<String>) {
    let text = [&[START], lines].concat().join("\n");
    let read = recording(text.as_bytes()).expect("it begins well");
    assert_eq!(read.summary, None);
    (read.sweeps.len(), read.cut)
}

#[test]
fn what_a_later_version_adds_is_passed_over_and_what_is_wrong_ends_it() {
    let sweep = |t: &str| format!(r#"{{"sweep":{{"t":{t},"series":[],{CREATED}}}}}"#);
    let (first, second) = (sweep("1.0"), sweep("2.5"));
    assert_eq!(read(&[&first, &second]), (2, None));
    assert_eq!(read(&[&first, r#"{"hook":{"t":"?"}}"#, &second]), (2, None));
    for (wrong, words) in [
        (sweep("\"soon\""), "line 3: "),
        (r#"{"sweep":{"t":2.0}}"#.into(), "line 3: missing field"),
        (r#"{"summary":7}"#.into(), "line 3: "),
        (sweep("0.5"), "line 3: time goes back"),
        (sweep("1e999"), "line 3: "),
        (second[..second.len() - 9].to_owned(), "line 3: EOF"),
        ("7".into(), "line 3: "),
    ] {
        let (sweeps, cut) = read(&[&first, &wrong, &second]);
        assert_eq!(sweeps, 1, "{wrong}");
        let cut = cut.unwrap_or_default();
        assert!(cut.starts_with(words), "{wrong}: {cut}");
    }
}
