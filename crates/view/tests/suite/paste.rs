//! A command that is broken over several lines means the same when it is pasted:
//! bash reads it and says what it got.

use crate::{screen, world};
use model::ReleaseStep;
use proptest::collection::vec;
use proptest::prelude::*;
use std::process::Command;

/// Any bytes that may stand in a path. A name that itself spells `\xNN` is the one
/// thing that [`model::decode`] does not carry without loss.
fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8..=255, length).prop_filter("spells a byte", |path| {
        !path.windows(4).any(|w| w.starts_with(b"\\x"))
    })
}

/// What `why` prints for a step with this action: the lines after the number.
fn printed(action: &str, width: usize) -> String {
    let mut report = world::why_conn_events();
    report.to_release = vec![ReleaseStep {
        action: action.into(),
        ..report.to_release[0].clone()
    }];
    let text = screen::why(&report, width);
    let (_, after) = text.split_once("to let it go\n  1. ").expect("the step");
    let (command, _) = after.split_once("\n     frees").expect("its end");
    command.into()
}

/// The words that bash makes of a command line for `rm`.
fn words(command: &str) -> Vec<u8> {
    let script = format!("rm() {{ printf '%s\\0' \"$@\"; }}\n{command}\n");
    let output = Command::new("bash")
        .args(["--norc", "-c", &script])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{command}: {output:?}");
    assert!(output.stderr.is_empty(), "{command}: {output:?}");
    output.stdout
}

fn check(paths: &[Vec<u8>], width: usize) {
    let quoted: Vec<String> = paths
        .iter()
        .map(|path| model::shell_quote(&model::decode(path)))
        .collect();
    let action = format!("rm {}", quoted.join(" "));
    let mut expected = vec![];
    for path in paths {
        expected.extend_from_slice(path);
        expected.push(0);
    }
    assert_eq!(words(&action), expected, "the quoting itself: {action}");
    let printed = printed(&action, width);
    assert_eq!(words(&printed), expected, "{printed}");
}

#[test]
fn every_quoting_survives_every_width() {
    for path in [
        "/sys/fs/bpf/a/plain/path/that/is/longer/than/the/terminal",
        "/sys/fs/bpf/two words/and  three    more/of a path that is long",
        "/sys/fs/bpf/it's/quoted/with/dollar/and/an/escape/\x1b[31m/in/it",
        "/sys/fs/bpf/back\\slash/\u{202e}/reversed/事件地图/wide/characters",
        "/sys/fs/bpf/$HOME/`id`/\"double\"/#hash/~/!event/glob*",
    ] {
        for width in 40..70 {
            check(&[path.into(), b"/x".to_vec()], width);
        }
    }
}

#[test]
fn double_quotes_survive_too() {
    let action = r#"rm "/sys/fs/bpf/a \"b\" $$ and more of it, too long for the line" /x"#;
    let expected = words(&action.replace("$$", "XX"));
    let at_40 = printed(action, 40).replace("$$", "XX");
    assert!(at_40.lines().count() > 1);
    assert_eq!(words(&at_40), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_path_survives(
        paths in vec(bytes(1..120), 1..4),
        width in 40_usize..120,
    ) {
        check(&paths, width);
    }
}
