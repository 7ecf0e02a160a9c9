//! Pages of the documentation that are made from doc comments: one for each verdict, and the table of them
//! in the guide.

use anyhow::{Context, Result, bail};
use model::Verdict;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The verdicts, with the comments that the pages are made of.
const SOURCE: &str = "crates/model/src/explain/verdict.rs";
/// A page for each verdict.
const PAGES: &str = "docs/verdicts";
/// The guide, with the table between two marks.
const GUIDE: &str = "docs/explain.md";
const BEGIN: &str = "<!-- verdicts: made by cargo xtask docs -->\n";
const END: &str = "<!-- end of verdicts -->\n";
/// Parts of a page begin so in a comment.
const PARTS: [&str; 3] = ["Evidence", "Fix", "Example"];

/// Writes all pages anew, and removes those of verdicts that are no more.
pub fn run(root: &Path) -> Result<()> {
    let made = make(root)?;
    fs::create_dir_all(root.join(PAGES))?;
    for name in there(root)? {
        if !made.contains_key(&name) {
            fs::remove_file(root.join(&name))?;
        }
    }
    for (name, text) in &made {
        fs::write(root.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// What of it is not as the comments have it, a line each.
pub fn stale(root: &Path) -> Result<Vec<String>> {
    let made = make(root)?;
    let differs = |(name, text): &(&String, &String)| {
        fs::read_to_string(root.join(name)).ok().as_ref() != Some(*text)
    };
    let old = made.iter().filter(differs).map(|(name, _)| name.clone());
    let left = there(root)?;
    let left = left.into_iter().filter(|name| !made.contains_key(name));
    let all = old.chain(left);
    Ok(all
        .map(|name| format!("{name}: not as cargo xtask docs makes it"))
        .collect())
}

/// Verdicts that are told today. The others take a search of the heap: for what leads to an object, or for one
/// that is in no book.
fn is_told(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Retained
        | Verdict::NotJudged
        | Verdict::SweepPending
        | Verdict::ReleaseQueued
        | Verdict::ReleaseBlocked
        | Verdict::NoOwner
        | Verdict::Unmanaged
        | Verdict::Mapped
        | Verdict::Unknown => true,
        Verdict::RetainedByGlobal
        | Verdict::RetainedByGoroutine
        | Verdict::RetainedByTinyBlock
        | Verdict::RetainedByFinalizer
        | Verdict::ReleaseCycle
        | Verdict::Dropped
        | Verdict::NoRelease => false,
    }
}

/// All files by their path from the root.
fn make(root: &Path) -> Result<BTreeMap<String, String>> {
    let source =
        fs::read_to_string(root.join(SOURCE)).with_context(|| format!("cannot read {SOURCE}"))?;
    let comments = comments(&source)?;
    let mut made = BTreeMap::new();
    let mut table = "| verdict | |\n|---|---|\n".to_owned();
    for verdict in Verdict::ALL.into_iter().filter(|verdict| is_told(*verdict)) {
        let code = verdict.as_str();
        let comment = comments
            .get(code)
            .with_context(|| format!("{SOURCE} has no comment on {code}"))?;
        let title = verdict.title();
        writeln!(table, "| [`{code}`](verdicts/{code}.md) | {title} |")?;
        made.insert(format!("{PAGES}/{code}.md"), page(verdict, comment)?);
    }
    let guide =
        fs::read_to_string(root.join(GUIDE)).with_context(|| format!("cannot read {GUIDE}"))?;
    made.insert(GUIDE.to_owned(), with_table(&guide, &table)?);
    Ok(made)
}

/// The doc comments of the variants, by the code of each verdict.
fn comments(source: &str) -> Result<BTreeMap<String, String>> {
    let (_, body) = source
        .split_once("pub enum Verdict {\n")
        .with_context(|| format!("{SOURCE} has no enum Verdict"))?;
    let mut comments = BTreeMap::new();
    let mut comment = String::new();
    for line in body.lines().take_while(|line| *line != "}") {
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("///") {
            comment += text.strip_prefix(' ').unwrap_or(text);
            comment.push('\n');
        } else if let Some(name) = line.strip_suffix(',') {
            comments.insert(code(name), std::mem::take(&mut comment));
        }
    }
    Ok(comments)
}

/// `release-queued` of `ReleaseQueued`.
fn code(name: &str) -> String {
    let mut code = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !code.is_empty() {
            code.push('-');
        }
        code.push(letter.to_ascii_lowercase());
    }
    code
}

/// A page: what it means, and a heading for each part.
fn page(verdict: Verdict, comment: &str) -> Result<String> {
    let code = verdict.as_str();
    let mut text = format!("# {code}\n\n*{}*\n\n", verdict.title());
    let mut parts = PARTS.into_iter().peekable();
    let mut lines = comment.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(part) = parts.peek() else {
            writeln!(text, "{line}")?;
            continue;
        };
        let Some(rest) = line.strip_prefix(&format!("**{part}.**")) else {
            writeln!(text, "{line}")?;
            continue;
        };
        writeln!(text, "## {part}\n")?;
        parts.next();
        let rest = rest.trim_start();
        if rest.is_empty() {
            // The heading has its own empty line.
            lines.next_if(|line| line.is_empty());
        } else {
            writeln!(text, "{rest}")?;
        }
    }
    if let Some(part) = parts.next() {
        bail!("the comment on {code} has no **{part}.**");
    }
    text += "\n[All verdicts, and how they are found](../explain.md#verdicts)\n";
    Ok(text)
}

/// The guide with this table between its marks.
fn with_table(guide: &str, table: &str) -> Result<String> {
    let marked = guide.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = marked else {
        bail!("{GUIDE} has no marks for the table of verdicts");
    };
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// Pages that are there, by their path from the root.
fn there(root: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(root.join(PAGES)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error).with_context(|| format!("cannot read {PAGES}")),
    };
    let mut names = vec![];
    for entry in entries {
        names.push(format!("{PAGES}/{}", entry?.file_name().to_string_lossy()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENUM: &str = "\
/// All.
pub enum Verdict {
    /// Nobody knows.
    ///
    /// **Evidence.** None.
    ///
    /// **Fix.** Look
    /// again.
    ///
    /// **Example.**
    ///
    /// ```go
    /// x()
    /// ```
    Unknown,
    /// It waits.
    ReleaseQueued,
}
";

    #[test]
    fn a_page_has_a_heading_for_each_part() {
        let comments = comments(ENUM).expect("the enum");
        let text = page(Verdict::Unknown, &comments["unknown"]).expect("a page");
        let expected = "\
# unknown

*what was seen establishes nothing*

Nobody knows.

## Evidence

None.

## Fix

Look
again.

## Example

```go
x()
```

[All verdicts, and how they are found](../explain.md#verdicts)
";
        assert_eq!(text, expected);
        assert_eq!(comments["release-queued"], "It waits.\n");
        assert!(page(Verdict::ReleaseQueued, &comments["release-queued"]).is_err());
    }

    #[test]
    fn the_table_stands_between_the_marks() {
        let guide = format!("a\n{BEGIN}old\n{END}b\n");
        let new = with_table(&guide, "new\n").expect("marks");
        assert_eq!(new, format!("a\n{BEGIN}new\n{END}b\n"));
        assert!(with_table("a\n", "new\n").is_err());
    }

    #[test]
    fn a_page_that_is_old_or_left_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("crates/model/src/explain")).expect("folders");
        fs::create_dir_all(at("docs")).expect("folders");
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::copy(workspace.join(SOURCE), at(SOURCE)).expect("the source");
        fs::write(at(GUIDE), format!("{BEGIN}{END}")).expect("the guide");
        assert!(!stale(root.path()).expect("pages").is_empty());
        run(root.path()).expect("pages");
        assert_eq!(stale(root.path()).expect("pages"), [""; 0]);
        fs::write(at("docs/verdicts/gone.md"), "x").expect("a page");
        fs::write(at("docs/verdicts/mapped.md"), "x").expect("a page");
        assert_eq!(stale(root.path()).expect("pages").len(), 2);
        run(root.path()).expect("pages");
        assert!(!at("docs/verdicts/gone.md").exists());
    }
}
