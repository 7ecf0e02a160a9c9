//! Which tools there are, in which versions. Each is asked once in a process.

use crate::needs;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What a tool answers, on one line; empty if it is not there or fails. `env` comes on top of ours.
pub fn answer(tool: &Path, words: &[&str], env: &[(&str, &str)]) -> String {
    type Question = (String, Vec<String>, Vec<(String, String)>);
    static KNOWN: Mutex<BTreeMap<Question, String>> = Mutex::new(BTreeMap::new());
    let owned = |text: &str| text.to_owned();
    let question: Question = (
        tool.display().to_string(),
        words.iter().map(|word| owned(word)).collect(),
        env.iter().map(|(k, v)| (owned(k), owned(v))).collect(),
    );
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = known.entry(question).or_insert_with(|| {
        let path = tool.to_str().and_then(needs::which);
        let output = Command::new(path.as_deref().unwrap_or(tool))
            .args(words)
            .envs(env.iter().copied())
            // Go and rustup would look for a release in the files of the folder where we are.
            .current_dir("/")
            .stdin(Stdio::null())
            .output();
        let output = output.ok().filter(|output| output.status.success());
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let text = text.unwrap_or_default();
        text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
    });
    answer.clone()
}

/// The release of Go that is asked for if none is named, and the one that is here. No network: what
/// is asked for may not be here yet.
pub fn go() -> [String; 2] {
    let go = Path::new("go");
    [
        // Without a release in the environment this is what `go env -w` has set.
        answer(go, &["env", "GOTOOLCHAIN"], &[]),
        answer(go, &["version"], &[("GOTOOLCHAIN", "local")]),
    ]
}

/// As pkg-config knows it.
pub fn libbpf() -> String {
    answer(Path::new("pkg-config"), &["--modversion", "libbpf"], &[])
}

/// What Debian calls this architecture: a folder of that name has its headers.
pub fn multiarch() -> String {
    match answer(Path::new("cc"), &["-print-multiarch"], &[]) {
        // clang knows no such word, and the most common name is right.
        said if said.is_empty() => format!("{}-linux-gnu", std::env::consts::ARCH),
        said => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_answers_in_a_line_or_not_at_all() {
        let sh = Path::new("sh");
        let said = answer(sh, &["-c", "echo $A; pwd"], &[("A", "one")]);
        assert_eq!(said, "one; /");
        assert_eq!(answer(sh, &["-c", "echo no; exit 1"], &[]), "");
        assert_eq!(answer(Path::new("no-such-tool"), &[], &[]), "");
    }

    #[test]
    fn it_is_asked_once() {
        let count = || answer(Path::new("sh"), &["-c", "echo $$"], &[]);
        assert_eq!(count(), count());
    }
}
