//! Asks the program that we are part of, and the host's own tools.

use crate::error::Error;
use model::Kind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why a question to lastref has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It failed, or said what cannot be read.
    #[error("lastref {0}")]
    Failed(String),
    /// It was ended, as it took too long.
    #[error("lastref {0}: no answer after {seconds} s", seconds = PATIENCE.as_secs())]
    TooLong(String),
}

impl From<Unanswered> for Error {
    fn from(why: Unanswered) -> Self {
        Self::Program(format!("cannot be judged: {why}"))
    }
}

/// How long an answer may take. On an emulated processor, or beside a compiler, that is long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs lastref with these arguments, and reads its JSON.
pub fn ask(arguments: &[&str]) -> Result<Value, Unanswered> {
    let mut values = ask_lines(arguments)?;
    match (values.pop(), values.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(Unanswered::Failed(format!(
            "{}: it answers with more than one value",
            arguments.join(" ")
        ))),
    }
}

/// The same of a command that writes one value after the other.
pub fn ask_lines(arguments: &[&str]) -> Result<Vec<Value>, Unanswered> {
    let words = arguments.join(" ");
    let failed = |what: &dyn fmt::Display| Unanswered::Failed(format!("{words}: {what}"));
    let mut child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What a command wrote before it was ended is read as far as it goes.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            bytes
        })
    };
    let stdout = child.stdout.take().map(|p| Box::new(p) as Box<_>);
    let stderr = child.stderr.take().map(|p| Box::new(p) as Box<_>);
    let (stdout, stderr) = (read(stdout), read(stderr));
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Unanswered::TooLong(words));
            }
            Err(error) => return Err(failed(&error)),
        }
    };
    let stdout = stdout.join().unwrap_or_default();
    let values = serde_json::Deserializer::from_slice(&stdout).into_iter();
    let values: Result<Vec<Value>, _> = values.collect();
    let why = match values {
        Ok(values) if !values.is_empty() => return Ok(values),
        Ok(_) => "it says nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    let said = stderr.join().unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    Err(failed(&format!("{why} ({status}; {})", said.trim())))
}

/// Handles on BPF objects that processes have by their descriptors, as `/proc` tells: a file
/// that is shared counts once for each descriptor.
pub fn descriptors(pids: &[u32]) -> BTreeMap<(Kind, u32), u64> {
    let mut found = BTreeMap::new();
    for pid in pids {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
        for entry in entries.into_iter().flatten().flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            let (kind, field) = match target.to_str() {
                Some("anon_inode:bpf-map") => (Kind::Map, "map_id:"),
                Some("anon_inode:bpf-prog") => (Kind::Prog, "prog_id:"),
                Some("anon_inode:bpf_link") => (Kind::Link, "link_id:"),
                _ => continue,
            };
            let fd = entry.file_name();
            let info = format!("/proc/{pid}/fdinfo/{}", fd.to_string_lossy());
            let info = std::fs::read_to_string(info).unwrap_or_default();
            let id = info.lines().find_map(|line| line.strip_prefix(field));
            if let Some(id) = id.and_then(|id| id.trim().parse().ok()) {
                *found.entry((kind, id)).or_default() += 1;
            }
        }
    }
    found
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

/// The processes in the same pid namespace, itself among them.
pub fn processes_beside(pid: u32) -> Vec<u32> {
    match pid_namespace(pid.into()) {
        Some(namespace) => processes_in(&namespace),
        None => vec![pid],
    }
}

/// It has not ended, or another has its pid.
pub fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The processes in a pid namespace.
pub fn processes_in(namespace: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| pid_namespace(pid.into()).as_deref() == Some(namespace))
        .collect()
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
