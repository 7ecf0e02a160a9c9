//! Builds a scenario: its source goes into the user's cache folder, and stays there built until
//! a byte of it changes, or what it is built with.

use crate::build::{Build, with_go_line};
use crate::cache::{Folder, Use, cache};
use crate::catalog::{Scenario, below};
use crate::compile::{PARTIAL, compile, recipe};
use crate::manifest::Language;
use crate::needs;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// The host lacks something.
    #[error("needs {0}")]
    Needs(String),
    /// It has no such module.
    #[error("there is no module {0}; there is {1}")]
    NoModule(String, String),
    /// A tool failed.
    #[error("{tool} cannot build it: {why}")]
    Build {
        /// Which.
        tool: String,
        /// The first lines that it wrote.
        why: String,
    },
    /// The cache folder cannot be written.
    #[error("{path}: {error}")]
    Cache {
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
}

/// A scenario's program. It stays in the cache for as long as this lives.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The folder with its source.
    pub source: PathBuf,
    _folder: Arc<Folder>,
}

/// A file of a scenario's folder once it is unpacked, and what is in it.
type Source = (PathBuf, &'static [u8]);

/// The program of a scenario. If it must be built, standard error says so: that takes a while.
pub fn prepare(scenario: &Scenario, build: &Build) -> Result<Program, Unready> {
    let manifest = &scenario.manifest;
    let module = module_of(scenario, build.module.as_deref())?;
    if let Some(missing) = needs::missing(manifest) {
        return Err(Unready::Needs(missing));
    }
    let go = build.go.as_deref();
    let files = sources(scenario, module);
    let go_release = go.map(|go| format!("-go{go}")).unwrap_or_default();
    let digest = digest(&(&files, recipe(manifest, build)));
    let name = format!("{}{go_release}-{digest}", title(scenario, module));
    loop {
        let folder = Folder::of(&cache(), &name, Use::Read)?;
        // Its name is what people see of it.
        let path = folder.path.join(scenario.name);
        if path.exists() {
            return Ok(Program {
                path,
                source: folder.path.clone(),
                _folder: Arc::new(folder),
            });
        }
        drop(folder);
        let files = files.iter().map(|(name, content)| {
            let is_module = go.is_some() && name.as_os_str() == "go.mod";
            (
                name.clone(),
                with_go_line(content, go.filter(|_| is_module)),
            )
        });
        let files: Vec<_> = files.collect();
        let folder = Folder::of(&cache(), &name, Use::Write)?;
        // Perhaps whom we waited for has built it.
        if path.exists() {
            continue;
        }
        eprintln!("building {} …", title(scenario, module));
        write(&folder.path, &files)?;
        compile(&folder.path, manifest, build)?;
        let partial = folder.path.join(PARTIAL);
        fs::rename(&partial, &path).map_err(at(&partial))?;
    }
}

/// The sources that a scenario is built of, with the kit and the module's files: the folder, below
/// that of the cache. Nothing is built there.
pub fn unpack(scenario: &Scenario, module: Option<&str>) -> Result<PathBuf, Unready> {
    unpack_below(&cache(), scenario, module)
}

fn unpack_below(
    root: &Path,
    scenario: &Scenario,
    module: Option<&str>,
) -> Result<PathBuf, Unready> {
    let module = module_of(scenario, module)?;
    let files = sources(scenario, module);
    let name = format!("{}-source-{}", title(scenario, module), digest(&files));
    let folder = Folder::of(root, &name, Use::Write)?;
    write(&folder.path, &files)?;
    Ok(folder.path.clone())
}

/// One of its modules, or its default; `None` if it has none.
fn module_of<'a>(
    scenario: &'a Scenario,
    named: Option<&'a str>,
) -> Result<Option<&'a str>, Unready> {
    let modules = &scenario.manifest.modules;
    match named {
        None => Ok(modules.first().map(String::as_str)),
        Some(name) if modules.iter().any(|module| module == name) => Ok(Some(name)),
        Some(name) => {
            let there_is = match modules.as_slice() {
                [] => "none".to_owned(),
                modules => modules.join(", "),
            };
            Err(Unready::NoModule(name.into(), there_is))
        }
    }
}

/// For people.
fn title(scenario: &Scenario, module: Option<&str>) -> String {
    match module {
        Some(module) => format!("{}-{module}", scenario.name),
        None => scenario.name.to_owned(),
    }
}

/// All files of a scenario's folder once it is unpacked.
fn sources(scenario: &Scenario, module: Option<&str>) -> Vec<Source> {
    let (own, kit, place) = match scenario.manifest.language {
        Language::Go => ("", "kit/go", "labkit"),
        Language::C => ("", "kit/c", ""),
        Language::Rust => ("src", "kit/rust", "labkit"),
    };
    let module = module.map(|module| format!("modules/{module}"));
    let own = scenario.files().map(|file| (own, file));
    let kit = below(kit).map(|file| (place, file));
    let module = module.iter().flat_map(|folder| below(folder));
    let module = module.map(|file| ("", file));
    let all = own.chain(kit).chain(module);
    all.map(|(place, (name, content))| (Path::new(place).join(name), content))
        .collect()
}

/// Those that do not lie there already: who reads them meanwhile finds them whole.
fn write<B: AsRef<[u8]>>(folder: &Path, files: &[(PathBuf, B)]) -> Result<(), Unready> {
    for (name, content) in files {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == content.as_ref()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        fs::write(&path, content).map_err(at(&path))?;
    }
    Ok(())
}

fn at(path: &Path) -> impl Fn(io::Error) -> Unready {
    let path = path.to_owned();
    move |error| Unready::Cache {
        path: path.clone(),
        error,
    }
}

fn digest(what: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios;
    use crate::testing::Place;

    #[test]
    fn every_scenario_is_unpacked_with_its_kit_and_module() {
        let place = Place::new("unpack");
        for scenario in scenarios() {
            let folder = unpack_below(&place.path, scenario, None).expect("it is unpacked");
            let expected: &[&str] = match scenario.manifest.language {
                Language::Go => &["main.go", "go.mod", "labkit/labkit.go"],
                Language::C => &["main.c", "labkit.h", "labkit.c"],
                Language::Rust => &[
                    "src/main.rs",
                    "Cargo.toml",
                    "Cargo.lock",
                    "labkit/Cargo.toml",
                ],
            };
            for file in expected {
                let file = folder.join(file);
                assert!(file.is_file(), "{}", file.display());
            }
            assert!(
                !folder.join(scenario.name).exists(),
                "{}: built",
                scenario.name
            );
        }
    }

    #[test]
    fn what_is_unpacked_is_repaired_and_found_again() {
        let place = Place::new("unpack-again");
        let mut all = scenarios().iter();
        let scenario = all.find(|s| s.manifest.modules.len() > 1);
        let scenario = scenario.expect("there are some");
        let unpack = |module| unpack_below(&place.path, scenario, module);
        let folder = unpack(None).expect("it is unpacked");
        let file = folder.join("go.mod");
        let content = fs::read(&file).expect("it is there");
        fs::write(&file, "spoilt").expect("it is ours");
        assert_eq!(unpack(None).expect("it is unpacked"), folder);
        assert_eq!(fs::read(&file).expect("it is there"), content);
        let second = scenario.manifest.modules[1].as_str();
        assert_ne!(unpack(Some(second)).expect("it is unpacked"), folder);
        assert!(matches!(
            unpack(Some("no-such")),
            Err(Unready::NoModule(..))
        ));
    }
}
