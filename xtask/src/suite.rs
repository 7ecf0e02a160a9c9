//! Another release of Debian, from the mirrors that the system's own apt uses.
//!
//! The sources of the system are copied with the suite replaced, into a folder of ours that also
//! gets apt's lists: the system's apt stays as it is. Mirrors and keyrings are the system's, and
//! signatures are checked as the system checks them.

use crate::apt::Apt;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Lists that are older are fetched again.
const FRESH: Duration = Duration::from_secs(20 * 60 * 60);

/// An apt that offers what `codename` has. Its state is kept in `folder`.
pub fn apt(codename: &str, folder: &Path) -> Result<Apt> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let (system, name) = system(&release);
    ensure!(
        system == "debian",
        "Debian's {codename} is had through Debian's own apt sources, and this is {}",
        if system.is_empty() {
            "no known system"
        } else {
            system
        }
    );
    let sources = copied(&system_sources()?, name, codename);
    ensure!(
        !sources.is_empty(),
        "no source of this system's apt has a suite of Debian's in which {codename} could stand"
    );
    let lists = folder.join("lists");
    for path in [lists.join("partial"), folder.join("archives/partial")] {
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let list = folder.join("debian.sources");
    let text = sources.join("\n");
    let same = fs::read_to_string(&list).is_ok_and(|old| old == text);
    if !same {
        fs::write(&list, text)?;
    }
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    let apt = Apt::with(vec![
        option("Dir::Etc::sourcelist", &list),
        "Dir::Etc::sourceparts=/dev/null".into(),
        // Pins are about the system's own suites.
        "Dir::Etc::preferences=/dev/null".into(),
        "Dir::Etc::preferencesparts=/dev/null".into(),
        option("Dir::State", folder),
        option("Dir::State::lists", &lists),
        option("Dir::Cache", folder),
        "Acquire::Languages=none".into(),
        // Else what could not be fetched is a mere warning.
        "APT::Update::Error-Mode=any".into(),
    ]);
    let stamp = folder.join("updated");
    if !same || !is_fresh(&stamp) {
        apt.update()
            .with_context(|| format!("the mirrors of this system's apt do not give {codename}"))?;
        fs::write(&stamp, "")?;
    }
    Ok(apt)
}

fn is_fresh(stamp: &Path) -> bool {
    let age = fs::metadata(stamp)
        .and_then(|meta| meta.modified())
        .map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
    age.is_ok_and(|age| age < FRESH)
}

/// `ID` and `VERSION_CODENAME` of os-release(5).
fn system(release: &str) -> (&str, &str) {
    let value = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map_or("", |value| value.trim_matches('"'))
    };
    (value("ID"), value("VERSION_CODENAME"))
}

/// The system's sources, those in one line turned into stanzas.
fn system_sources() -> Result<Vec<Stanza>> {
    let mut stanzas = Vec::new();
    let mut files = vec!["/etc/apt/sources.list".into()];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    for file in files {
        let is = |wanted: &str| file.extension().is_some_and(|e| e == wanted);
        if !(is("list") || is("sources")) || !file.exists() {
            continue;
        }
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        if is("list") {
            stanzas.extend(text.lines().filter_map(from_line));
        } else {
            stanzas.extend(from_stanzas(&text));
        }
    }
    Ok(stanzas)
}

/// Fields of a source, their names in lower case. A value may have several lines: a key.
type Stanza = Vec<(String, String)>;

/// `deb [signed-by=/x arch=amd64] http://mirror/debian bookworm main`; sources.list(5).
fn from_line(line: &str) -> Option<Stanza> {
    let line = line.split('#').next().unwrap_or("").trim();
    let rest = line.strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let mut stanza = vec![
        ("types".to_owned(), "deb".to_owned()),
        ("uris".to_owned(), words.next()?.to_owned()),
        ("suites".to_owned(), words.next()?.to_owned()),
        ("components".to_owned(), words.collect::<Vec<_>>().join(" ")),
    ];
    for (key, value) in options.split_whitespace().filter_map(|o| o.split_once('=')) {
        stanza.push((key.to_lowercase(), value.to_owned()));
    }
    Some(stanza)
}

fn from_stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas = vec![Stanza::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            stanzas.push(Stanza::new());
            continue;
        }
        let Some(stanza) = stanzas.last_mut() else {
            continue;
        };
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.to_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas.retain(|stanza| !stanza.is_empty());
    stanzas
}

/// The sources that have a suite of the running release, as text, with `codename`'s in its place.
fn copied(stanzas: &[Stanza], running: &str, codename: &str) -> Vec<String> {
    let mut copies = Vec::new();
    for stanza in stanzas {
        let field = |name: &str| {
            let found = stanza.iter().find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let words = |name: &str| field(name).split_whitespace().collect::<Vec<_>>();
        let suites: Vec<String> = words("suites")
            .into_iter()
            .filter_map(|suite| other_suite(suite, running, codename))
            .collect();
        // Other archives name their suites after Debian's, but not their components.
        let debians = words("components").contains(&"main");
        if field("enabled") == "no"
            || !words("types").contains(&"deb")
            || suites.is_empty()
            || !debians
        {
            continue;
        }
        let mut copy = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nArchitectures: amd64\n\
             Targets: Packages\n",
            words("uris").join(" "),
            suites.join(" ")
        );
        // Nothing else is taken over: no option may turn the check of signatures off.
        if !field("signed-by").is_empty() {
            let _ = writeln!(copy, "Signed-By: {}", field("signed-by"));
        }
        copies.push(copy);
    }
    copies
}

/// `bullseye-security` for `bookworm-security`. Backports have other kernels.
fn other_suite(suite: &str, running: &str, codename: &str) -> Option<String> {
    const NAMES: [&str; 5] = ["stable", "testing", "unstable", "sid", "oldstable"];
    let (base, part) = suite.split_once('-').unwrap_or((suite, ""));
    if !(base == running || NAMES.contains(&base)) {
        return None;
    }
    match part {
        "" => Some(codename.to_owned()),
        "security" => Some(format!("{codename}-security")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_copied_with_the_suite_replaced() {
        let mut stanzas = from_stanzas(
            "# a comment\nTypes: deb deb-src\nURIs: http://mirror.example/debian\n\
             Suites: bookworm bookworm-updates bookworm-backports\nComponents: main contrib\n\
             Signed-By: /k.gpg\nTrusted: yes\n\n\
             Types: deb\nURIs: http://mirror.example/off\nSuites: bookworm\nComponents: main\n\
             Enabled: no\n",
        );
        stanzas.extend(from_line(
            "deb [trusted=yes signed-by=/l.gpg] http://s.example/ bookworm-security main # why",
        ));
        stanzas.extend(from_line("deb http://other.example/x bookworm stable"));
        stanzas.extend(from_line("deb http://other.example/y nodistro main"));
        stanzas.extend(from_line(
            "# deb http://mirror.example/debian bookworm main",
        ));
        assert_eq!(
            copied(&stanzas, "bookworm", "bullseye"),
            [
                "Types: deb\nURIs: http://mirror.example/debian\nSuites: bullseye\n\
                 Components: main\nArchitectures: amd64\nTargets: Packages\nSigned-By: /k.gpg\n",
                "Types: deb\nURIs: http://s.example/\nSuites: bullseye-security\n\
                 Components: main\nArchitectures: amd64\nTargets: Packages\nSigned-By: /l.gpg\n",
            ]
        );
    }

    #[test]
    fn a_key_of_several_lines_stays_whole() {
        let stanzas = from_stanzas(
            "Types: deb\nURIs: http://m.example/\nSuites: stable\nComponents: main\n\
             Signed-By:\n -----BEGIN\n .\n abc\n",
        );
        let copies = copied(&stanzas, "trixie", "bullseye");
        assert!(copies[0].ends_with("Signed-By: \n -----BEGIN\n .\n abc\n"));
    }

    #[test]
    fn the_system_is_named() {
        let release = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(system(release), ("debian", "bookworm"));
        assert_eq!(system("NAME=x\nID=\"ubuntu\"\n"), ("ubuntu", ""));
    }
}
