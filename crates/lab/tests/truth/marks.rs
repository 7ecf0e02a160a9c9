//! The lines that a scenario names are there, and no line is marked for nothing.

use lab::Scenario;
use std::collections::BTreeSet;

/// What marks begin with.
const WORDS: [&str; 5] = ["CLOSED", "DROPPED", "LEAK", "MADE", "RULE"];

pub fn are_right(scenario: &Scenario) -> Result<(), String> {
    let groups = &scenario.manifest.groups;
    let sites = groups.iter().flat_map(|group| [&group.site, &group.at]);
    let named: BTreeSet<(&str, &str)> = sites
        .flatten()
        .map(|site| (site.file.as_str(), site.mark.as_str()))
        .collect();
    let mut marked = BTreeSet::new();
    for (file, content) in scenario.files() {
        let lines = std::str::from_utf8(content).unwrap_or_default().lines();
        for mark in lines.filter_map(mark) {
            if !marked.insert((file, mark)) {
                return Err(format!("{file}: {mark} stands twice"));
            }
        }
    }
    match named.symmetric_difference(&marked).next() {
        None => Ok(()),
        Some((file, mark)) => Err(format!("{file}: {mark} is not in both, toml and source")),
    }
}

/// `LEAK conns` of a line that ends with `// LEAK conns` or `/* LEAK conns */`.
fn mark(line: &str) -> Option<&str> {
    let comment = line
        .rsplit_once("// ")
        .or_else(|| line.rsplit_once("/* "))?
        .1;
    let comment = comment.trim_end_matches("*/").trim();
    let (word, name) = comment.split_once(' ')?;
    (WORDS.contains(&word) && !name.contains(' ')).then_some(comment)
}
