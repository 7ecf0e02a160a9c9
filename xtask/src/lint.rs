//! Checks that no compiler makes: files stay small enough to be held in the head, no path of
//! somebody's machine is written into them, and pages that are made of comments say what these say.

use crate::{command, docs};
use anyhow::{Result, bail};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines of a source file at most.
const LONGEST: usize = 700;
/// What is written by hand and read by people.
const SOURCES: [&str; 9] = ["rs", "c", "h", "sh", "go", "py", "toml", "yml", "mk"];
/// Paths that only one machine has: home folders. This file must not contain them whole.
const HOMES: [&str; 3] = [
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
];

/// Reads every file that git tracks, or would.
pub fn run(root: &Path) -> Result<()> {
    let listed = command::output(
        Command::new("git")
            // A checkout may belong to another user than the one that tests it.
            .args([
                "-c",
                "safe.directory=*",
                "ls-files",
                "-coz",
                "--exclude-standard",
            ])
            .current_dir(root),
    )?;
    let mut machine: Vec<String> = HOMES.map(str::to_owned).into();
    if root.components().count() > 2 {
        machine.push(root.display().to_string());
    }
    if let Some(target) = env::var("CARGO_TARGET_DIR").ok().filter(|t| t.len() > 1) {
        machine.push(target);
    }
    let mut problems = docs::stale(root)?;
    for name in String::from_utf8_lossy(&listed).split_terminator('\0') {
        let path = root.join(name);
        // Deleted but still tracked, a link to nowhere, or not text: nothing to check.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        problems.extend(check(name, &text, &machine));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

fn check(name: &str, text: &str, machine: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    let extension = Path::new(name).extension().and_then(|e| e.to_str());
    if lines > LONGEST && extension.is_some_and(|e| SOURCES.contains(&e)) {
        problems.push(format!("{name}: {lines} lines, more than {LONGEST}"));
    }
    for (number, line) in text.lines().enumerate() {
        let line = without_process_roots(line);
        if let Some(path) = machine.iter().find(|path| line.contains(path.as_str())) {
            let number = number + 1;
            problems.push(format!("{name}:{number}: a path of one machine ({path})"));
        }
    }
    problems
}

/// A process's root directory (`/proc/PID/root`) is nobody's home.
fn without_process_roots(line: &str) -> String {
    let mut parts = line.split("/proc/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let root = part.split_once('/').map(|(_, below)| below);
        out.push_str(
            root.and_then(|below| below.strip_prefix("root"))
                .unwrap_or(part),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_a_home_are_found() {
        let home = format!("see {}me/x\n", "/ho");
        assert_eq!(check("a.rs", &home, &HOMES.map(str::to_owned)).len(), 1);
        let process = format!("rm /proc/77{}ot/x\n", "/ro");
        assert!(check("a.rs", &process, &HOMES.map(str::to_owned)).is_empty());
        let both = format!("{process} {0}ot/y", "/ro").replace('\n', "");
        assert_eq!(check("a.rs", &both, &HOMES.map(str::to_owned)).len(), 1);
        let long = "\n".repeat(LONGEST + 1);
        assert_eq!(check("a.rs", &long, &[]).len(), 1);
        assert!(check("a.json", &long, &[]).is_empty());
        assert!(check("a.rs", "fn main() {}\n", &["/x/y".into()]).is_empty());
    }
}
