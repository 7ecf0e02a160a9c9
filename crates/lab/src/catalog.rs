//! The scenarios that are in the program.

use crate::manifest::Manifest;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Path below `lab/`, and content.
type File = (&'static str, &'static [u8]);

/// Those in the program, or those of a folder, for who writes scenarios.
const FOLDER: &str = "LASTREF_LAB_SOURCES";

fn files() -> &'static [File] {
    static ALL: OnceLock<Vec<File>> = OnceLock::new();
    ALL.get_or_init(|| match std::env::var_os(FOLDER) {
        None => embedded::FILES.to_vec(),
        Some(folder) => {
            let mut files = Vec::new();
            let folder = Path::new(&folder);
            if let Err(error) = read(folder, folder, &mut files) {
                panic!("{FOLDER}={}: {error}", folder.display());
            }
            files.sort_unstable();
            files
        }
    })
}

/// Kept until the end, as what is in the program is.
fn read(root: &Path, folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            let name = name.display().to_string().leak();
            files.push((name, fs::read(&path)?.leak()));
        }
    }
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

/// All of them, by name.
///
/// # Panics
///
/// If a `scenario.toml` is wrong: a bug, which a test finds, or one of a folder of the user's.
pub fn scenarios() -> &'static [Scenario] {
    static ALL: OnceLock<Vec<Scenario>> = OnceLock::new();
    ALL.get_or_init(|| {
        let manifests = files().iter().filter_map(|(path, content)| {
            let (name, file) = path.split_once('/')?;
            (file == "scenario.toml" && !SHARED.contains(&name)).then_some((name, *content))
        });
        let parsed = manifests.map(|(name, content)| {
            let text = std::str::from_utf8(content).map_err(|e| e.to_string());
            let manifest = text.and_then(|text| toml::from_str(text).map_err(|e| e.to_string()));
            let manifest =
                manifest.unwrap_or_else(|error| panic!("lab/{name}/scenario.toml: {error}"));
            Scenario { name, manifest }
        });
        parsed.collect()
    })
}

/// Files of a folder of `lab/`, by path below it.
pub fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    files().iter().filter_map(move |(path, content)| {
        let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((rest, *content))
    })
}
