//! The scenarios that are in the program.

use crate::error::Error;
use crate::manifest::Manifest;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Path below `lab/`, and content.
type File = (&'static str, &'static [u8]);

/// Those in the program, or those of a folder, for who writes scenarios.
const FOLDER: &str = "LASTREF_LAB_SOURCES";
/// More than all scenarios are; a folder with more is none of scenarios.
const MOST: u64 = 64 << 20;

include!("not_sources.rs");

fn files() -> Result<&'static [File], Error> {
    static ALL: OnceLock<Result<Vec<File>, String>> = OnceLock::new();
    let all = ALL.get_or_init(|| match std::env::var_os(FOLDER) {
        None => Ok(embedded::FILES.to_vec()),
        Some(folder) => {
            read(Path::new(&folder)).map_err(|(path, why)| format!("{FOLDER}: {path}: {why}"))
        }
    });
    all.as_deref().map_err(|why| Error::Sources(why.clone()))
}

/// All files of a folder, kept until the end, as what is in the program is; or where it fails, and
/// why.
fn read(root: &Path) -> Result<Vec<File>, (String, String)> {
    let mut files = Vec::new();
    let mut left = MOST;
    read_below(root, root, &mut Vec::new(), &mut left, &mut files)?;
    files.sort_unstable();
    Ok(files)
}

/// `above`: the folders that this one is in, as they really are.
fn read_below(
    root: &Path,
    folder: &Path,
    above: &mut Vec<PathBuf>,
    left: &mut u64,
    files: &mut Vec<File>,
) -> Result<(), (String, String)> {
    fn at<E: Display>(path: &Path) -> impl Fn(E) -> (String, String) {
        let path = path.display().to_string();
        move |error| (path.clone(), error.to_string())
    }
    let real = folder.canonicalize().map_err(at(folder))?;
    // A link to a folder that it is in has no end.
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        if NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        // What is no file and no folder is waited for in vain; a link that leads nowhere is an
        // editor's.
        let Ok(data) = fs::metadata(&path) else {
            continue;
        };
        if data.is_dir() {
            read_below(root, &path, above, left, files)?;
        } else if data.is_file()
            && let Ok(name) = path.strip_prefix(root)
        {
            let too_much = || at(root)("more than the sources of scenarios are");
            *left = left.checked_sub(data.len()).ok_or_else(too_much)?;
            let name = name.display().to_string().leak();
            files.push((name, fs::read(&path).map_err(at(&path))?.leak()));
        }
    }
    above.pop();
    Ok(())
}

/// Folders that are no scenarios.
const SHARED: [&str; 2] = ["kit", "modules"];

/// A scenario.
#[derive(Debug)]
pub struct Scenario {
    /// The name of its folder.
    pub name: &'static str,
    /// What is said of it.
    pub manifest: Manifest,
}

impl Scenario {
    /// Its source, by path below its folder.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        below(self.name)
    }

    /// The number of a line with a mark, from 1.
    pub fn line(&self, file: &str, mark: &str) -> Option<u32> {
        let (_, content) = self.files().find(|(name, _)| *name == file)?;
        let text = std::str::from_utf8(content).ok()?;
        let at = text.lines().position(|line| line.contains(mark))?;
        u32::try_from(at + 1).ok()
    }

    /// Something grows without bound.
    pub fn leaks(&self) -> bool {
        self.manifest.groups.iter().any(|group| group.leaks)
    }
}

/// All of them, by name; or what is wrong with the folder that the user names.
pub fn load() -> Result<&'static [Scenario], Error> {
    static ALL: OnceLock<Result<Vec<Scenario>, String>> = OnceLock::new();
    let files = files()?;
    let all = ALL.get_or_init(|| parse(files));
    all.as_deref().map_err(|why| Error::Sources(why.clone()))
}

/// All of them, by name.
///
/// # Panics
///
/// Where [`load`] fails, which is to be asked before.
pub fn scenarios() -> &'static [Scenario] {
    load().unwrap_or_else(|error| panic!("{error}"))
}

fn parse(files: &[File]) -> Result<Vec<Scenario>, String> {
    let manifests = files.iter().filter_map(|&(path, content)| {
        let (name, file) = path.split_once('/')?;
        (file == "scenario.toml" && !SHARED.contains(&name)).then_some((name, content))
    });
    let parsed = manifests.map(|(name, content)| {
        let failed = |why: String| format!("lab/{name}/scenario.toml: {why}");
        let text = std::str::from_utf8(content).map_err(|e| failed(e.to_string()))?;
        let manifest: Manifest = toml::from_str(text).map_err(|e| failed(e.to_string()))?;
        // They become names of folders.
        let plain = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !text.starts_with('.') && text.chars().all(fits)
        };
        if !plain(name) {
            return Err(failed(
                "a name has letters, digits, `-`, `_` and `.`".into(),
            ));
        }
        let known = |module: &String| {
            let begin = format!("modules/{module}/");
            plain(module) && files.iter().any(|(path, _)| path.starts_with(&begin))
        };
        if let Some(module) = manifest.modules.iter().find(|&module| !known(module)) {
            return Err(failed(format!("there is no lab/modules/{module}")));
        }
        Ok(Scenario { name, manifest })
    });
    parsed.collect()
}

/// Files of a folder of `lab/`, by path below it.
pub fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    // Whoever has a scenario has the files.
    let files = files().unwrap_or_default();
    files.iter().filter_map(move |(path, content)| {
        let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((rest, *content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Place;
    use std::os::unix::fs::symlink;

    const TRUTH: &str = "title = \"t\"\nshows = \"s\"\nlanguage = \"c\"\ngroup = []\n";

    #[test]
    fn a_folder_is_read_to_its_end_and_no_further() {
        let place = Place::new("catalog-read");
        let root = place.path.join("lab");
        for folder in ["one/target", "one/.git", "kit/c"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        for file in [
            "one/main.c",
            "one/target/huge",
            "one/.git/HEAD",
            "one/program",
            "kit/c/k.h",
        ] {
            fs::write(root.join(file), "x").expect("a file");
        }
        symlink("..", root.join("one/up")).expect("a link");
        symlink("one", root.join("two")).expect("a link");
        symlink("../kit", root.join("one/kit")).expect("a link");
        symlink("nowhere", root.join("one/.#main.c")).expect("a link");
        let files = read(&root).expect("it can be read");
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let expected = [
            "kit/c/k.h",
            "one/kit/c/k.h",
            "one/main.c",
            "two/kit/c/k.h",
            "two/main.c",
        ];
        assert_eq!(names, expected);
        assert!(read(&place.path.join("no-such")).is_err());
        let huge = fs::File::create(root.join("one/huge")).expect("a file");
        huge.set_len(MOST + 1).expect("it is sparse");
        assert!(read(&root).is_err_and(|(_, why)| why.contains("more than")));
    }

    #[test]
    fn a_truth_with_a_typo_is_told() {
        let parsed = |text: &'static str| parse(&[("one/scenario.toml", text.as_bytes())]);
        assert_eq!(parsed(TRUTH).map(|all| all.len()), Ok(1));
        let typo = TRUTH.replace("title", "tilte").leak();
        let told = parsed(typo).map(drop).unwrap_err();
        assert!(
            told.contains("lab/one/scenario.toml") && told.contains("tilte"),
            "{told}"
        );
        let modules = format!("modules = [\"no-such\"]\n{TRUTH}").leak();
        let told = parsed(modules).map(drop).unwrap_err();
        assert!(told.contains("no lab/modules/no-such"), "{told}");
        let odd = parse(&[("../scenario.toml", TRUTH.as_bytes())]).map(drop);
        assert!(odd.is_err_and(|told| told.contains("a name has")));
    }
}
