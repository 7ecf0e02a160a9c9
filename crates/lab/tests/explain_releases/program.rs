//! The program that is asked.

use crate::cases::Case;
use crate::table::Row;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `LASTREF_BIN`, or what `cargo build --release` made beside this test's own profile.
pub fn lastref() -> PathBuf {
    if let Some(path) = std::env::var_os("LASTREF_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    // target/debug/deps/test
    let target = test.ancestors().nth(3).expect("it is in a target folder");
    let path = target.join("release/lastref");
    assert!(
        path.exists(),
        "{} does not exist: build it first (make build), or set LASTREF_BIN",
        path.display()
    );
    path
}

/// Its answer as JSON, or what it said instead.
pub fn ask(words: &[&str]) -> Result<Value, String> {
    let output = Command::new(lastref())
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{error} ({}; {})", output.status, said.trim())
    })
}

/// What the lab says of its answer about one case.
pub fn score(case: &Case) -> Row {
    let name = case.scenario.name;
    let build = &case.setting.build;
    let mut words = vec!["lab", "score", name, "--command", "explain", "--json"];
    if let Some(module) = &build.module {
        words.extend(["--module", module]);
    }
    if let Some(go) = &build.go {
        words.extend(["--go", go]);
    }
    for flag in &build.flags {
        words.extend(["--build", flag]);
    }
    let answer = ask(&words);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (result, why) = match &answer {
        Ok(answer) => {
            let cases = answer["cases"].as_array();
            let mut cases = cases.into_iter().flatten();
            match cases.find(|one| one["scenario"] == name) {
                Some(one) => (text(&one["result"]), text(&one["why"])),
                None => ("not-run".into(), "it is not in the answer".into()),
            }
        }
        Err(why) => ("wrong".into(), why.clone()),
    };
    Row {
        part: case.part.name(),
        scenario: name.to_owned(),
        column: column(case),
        title: case.to_string(),
        result,
        why,
    }
}

/// What is varied in its part.
fn column(case: &Case) -> String {
    let build = &case.setting.build;
    if !build.flags.is_empty() {
        let words = build.flags.join(" ");
        let words = words.replace("-ldflags=", "").replace("GOEXPERIMENT=", "");
        let go = build.go.iter().map(|go| format!("{go} "));
        return go.chain([words]).collect();
    }
    match (&build.go, &build.module) {
        (Some(go), _) => go.clone(),
        (None, module) => module.clone().unwrap_or_default(),
    }
}
