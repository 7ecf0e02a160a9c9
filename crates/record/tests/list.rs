//! Reports read back, and files that are none.

use proptest::prelude::*;
use record::{Error, list_report};

/// As `lastref ls --json` writes it.
const REPORT: &str = r#"{"schema":"lastref.ls/0","snapshot":{"time":"2026-11-24T03:12:45.000Z",
"boot_id":"b","kernel":"6.18.44","pid_namespace":"host","passes":1,"seconds":0.004,"staged_walks":["pins"],
"cannot_see":[]},"objects":[
{"kind":"map","id":17,"name":"conn_events","type":"hash","refcnt":2,"usercnt":2,"references":[
{"by":"fd","count":1,"holders":[{"type":"process","pid":4242,"ns_pid":null,"start_ticks":7,"tid":null,"comm":"agent",
"exe":null,"fds":[5],"cgroup":null,"unit":null,"container":null}]},
{"by":"pin","count":1,"holders":[{"type":"pin","path":"/sys/fs/bpf/x","mount_namespace":1,"enter_pid":null,
"also":[],"unlinked":false}]}],"own":false,"memory_bytes":4096,"memory_source":"computed","entries":null,
"max_entries":8,"charged_to":null,"unreadable":[],"map_flags":0,"explained":2,"unexplained":0,"settled":true,
"state":"in-use","kept_by":[]},
{"kind":"prog","id":5,"name":"on_exec","type":"kprobe","refcnt":1,"usercnt":null,"references":[],"own":false,
"memory_bytes":null,"memory_source":null,"entries":null,"max_entries":null,"charged_to":null,"unreadable":[],
"tag":"0123456789abcdef","maps":[17],"attached":false,"explained":0,"unexplained":1,"settled":true,
"state":"unknown","kept_by":[]}]}"#;

fn changed(from: &str, to: &str) -> Result<model::ListReport, Error> {
    assert!(REPORT.contains(from), "{from}");
    list_report(REPORT.replacen(from, to, 1).as_bytes())
}

fn refused(from: &str, to: &str) -> String {
    changed(from, to).expect_err(to).to_string()
}

#[test]
fn a_report_comes_back() {
    let report = list_report(REPORT.as_bytes()).expect("a report");
    assert_eq!(report.objects.len(), 2);
    assert_eq!(report.objects[0].facts.name, "conn_events");
    let again = serde_json::to_vec(&report).expect("JSON");
    assert_eq!(list_report(&again).as_ref(), Ok(&report));
    let with_mark = [b"\xef\xbb\xbf", REPORT.as_bytes()].concat();
    assert_eq!(list_report(&with_mark), Ok(report));
}

#[test]
fn what_is_not_known_is_passed_over() {
    let report = changed(r#""objects":["#, r#""later":{"x":[1]},"objects":["#);
    assert!(report.is_ok(), "{report:?}");
    let report = changed(r#""kind":"map","#, r#""kind":"map","later":{"x":[1,2]},"#);
    assert_eq!(report, list_report(REPORT.as_bytes()));
    let report = changed(r#""count":1,"#, r#""count":1,"later":null,"#);
    assert!(report.is_ok(), "{report:?}");
}

#[test]
fn a_reference_or_holder_that_is_not_known_is_named() {
    let text = refused(r#""by":"pin""#, r#""by":"telepathy""#);
    assert!(
        text.starts_with("map:17: unknown variant `telepathy`"),
        "{text}"
    );
    assert!(text.contains("a later lastref"), "{text}");
    let text = refused(r#""type":"pin""#, r#""type":"nail""#);
    assert!(text.starts_with("map:17: unknown variant `nail`"), "{text}");
}

#[test]
fn every_cut_is_said_to_be_one() {
    for at in 1..REPORT.len() {
        let error = list_report(&REPORT.as_bytes()[..at]);
        assert_eq!(error, Err(Error::Truncated { bytes: at }), "{at}");
    }
    assert_eq!(list_report(b""), Err(Error::Empty));
    assert_eq!(list_report(b" \n"), Err(Error::Empty));
}

#[test]
fn other_files_are_told_apart() {
    let text = |bytes: &[u8]| list_report(bytes).expect_err("no report").to_string();
    assert!(text(b"map 17\n").starts_with("it is not JSON"));
    assert!(text(b"\x7fELF").starts_with("it is not JSON"));
    assert!(text(&[0xff; 100]).starts_with("it is not JSON"));
    for json in [
        "[]",
        "3",
        "null",
        "{}",
        r#"{"schema":7}"#,
        r#"{"schema":"x/0"}"#,
    ] {
        let text = text(json.as_bytes());
        assert!(
            text.starts_with("it is JSON, but no report"),
            "{json}: {text}"
        );
    }
    let twice = [REPORT, REPORT].concat();
    assert!(text(twice.as_bytes()).contains("trailing"));
    let other = refused("lastref.ls/0", "lastref.why/0");
    assert!(other.contains("`lastref.why/0` report"), "{other}");
    let later = refused("lastref.ls/0", "lastref.ls/12");
    assert!(later.contains("a later one"), "{later}");
    let odd = refused("lastref.ls/0", "lastref.ls");
    assert!(odd.contains("write it again"), "{odd}");
}

#[test]
fn content_that_cannot_be_is_refused_with_its_place() {
    for (from, to, words) in [
        (r#""id":5"#, r#""id":-5"#, "object 2 of the list"),
        (r#""id":17"#, r#""id":99999999999"#, "object 1 of the list"),
        (r#""refcnt":2"#, r#""refcnt":2e99"#, "map:17"),
        (
            r#""kind":"prog""#,
            r#""kind":"map""#,
            "map:5: it has the fields of a program",
        ),
        (
            r#""map_flags":0,"#,
            "",
            "map:17: it has not the fields of any kind",
        ),
        (
            r#""kind":"prog","id":5"#,
            r#""kind":"frog","id":5"#,
            "object 2 of the list",
        ),
        (r#""passes":1"#, r#""passes":"1""#, "`snapshot`"),
        (r#""objects":["#, r#""objects":[7,"#, "object 1 of the list"),
        (r#""schema":"#, r#""filters":7,"schema":"#, "`filters`"),
    ] {
        let text = refused(from, to);
        assert!(text.contains(words), "{to}: {text}");
    }
    let twice = REPORT.replace(r#""kind":"prog","id":5"#, r#""kind":"map","id":17"#);
    assert!(list_report(twice.as_bytes()).is_err());
}

#[test]
fn depth_is_bounded() {
    let deep = format!(
        r#"{{"schema":"lastref.ls/0","snapshot":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(list_report(deep.as_bytes()).is_err());
    let inside = changed(
        r#""kind":"map","#,
        &format!(
            r#""kind":"map","x":{}{},"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
    );
    assert!(inside.is_err());
}

#[test]
fn messages_stay_short() {
    let long = "x".repeat(1 << 20);
    for (from, to) in [
        ("lastref.ls/0", format!("lastref.{long}/0")),
        ("lastref.ls/0", long.clone()),
        (r#""by":"pin""#, format!(r#""by":"{long}""#)),
    ] {
        assert!(refused(from, &to).len() < 1000);
    }
}

proptest! {
    #[test]
    fn no_byte_makes_it_panic(at in 0..REPORT.len(), byte: u8) {
        let mut bytes = REPORT.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = list_report(&bytes);
    }

    #[test]
    fn no_garbage_makes_it_panic(bytes: Vec<u8>) {
        prop_assert!(list_report(&bytes).is_err());
    }
}
