//! Asks the program that we are part of, and the host's own tools.

use crate::error::Error;
use model::Kind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Runs lastref with these arguments, and reads its JSON.
pub fn ask(arguments: &[&str]) -> Result<Value, Error> {
    let failed = |what: String| {
        Error::Program(format!(
            "cannot be judged: lastref {}: {what}",
            arguments.join(" ")
        ))
    };
    let output = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        failed(format!("{error} ({}; {})", output.status, said.trim()))
    })
}

/// The objects of a report of `ls --json`, by kind and id.
pub fn objects_of(report: &Value) -> BTreeMap<(Kind, u32), &Value> {
    let objects = report["objects"].as_array().into_iter().flatten();
    objects
        .filter_map(|object| {
            let kind = serde_json::from_value(object["kind"].clone()).ok()?;
            let id = u32::try_from(object["id"].as_u64()?).ok()?;
            Some(((kind, id), object))
        })
        .collect()
}

/// True if lastref has a command of this name.
pub fn has_command(name: &str) -> bool {
    let output = Command::new("/proc/self/exe")
        .args([name, "--help"])
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// What tells a pid namespace, as `/proc` names it; `None` if the process is gone.
pub fn pid_namespace(pid: u64) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// The first line that a shell command writes, or why there is none.
pub fn shell(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output();
    match output {
        Err(error) => error.to_string(),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().unwrap_or("nothing").to_owned()
        }
    }
}
