//! Builds a scenario: its source goes into the user's cache folder, and stays there built until
//! a byte of it changes.

use crate::catalog::{Scenario, below};
use crate::manifest::{Language, Need};
use crate::needs;
use rustix::fs::{FlockOperation, flock};
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A scenario's program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The folder with its source.
    pub source: PathBuf,
}

/// The folder that the lab builds in: `LASTREF_LAB_CACHE`, else below the user's cache folder.
pub fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("LASTREF_LAB_CACHE") {
        return folder.into();
    }
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    let base = base.or_else(home);
    base.unwrap_or_else(|| "/var/cache".into())
        .join("lastref/lab")
}

/// The program of a scenario, built with a module of its list (or its default) and, for Go, a
/// release of the toolchain (`1.24.6`).
pub fn prepare(
    scenario: &Scenario,
    module: Option<&str>,
    go: Option<&str>,
) -> Result<Program, Unready> {
    let manifest = &scenario.manifest;
    let module = match module {
        None => manifest.modules.first().map(String::as_str),
        Some(name) if manifest.modules.iter().any(|m| m == name) => Some(name),
        Some(name) => {
            return Err(Unready::NoModule(name.into(), manifest.modules.join(", ")));
        }
    };
    if let Some(missing) = needs::missing(manifest) {
        return Err(Unready::Needs(missing));
    }
    let files = sources(scenario, module);
    let folder = cache().join(format!(
        "{}{}{}-{:016x}",
        scenario.name,
        module.map(|m| format!("-{m}")).unwrap_or_default(),
        go.map(|go| format!("-go{go}")).unwrap_or_default(),
        digest(&files)
    ));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| Unready::Cache { path, error }
    };
    let program = Program {
        // Its name is what people see of it.
        path: folder.join(scenario.name),
        source: folder.clone(),
    };
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    let lock = File::create(folder.join("lock")).map_err(at(&folder))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| at(&folder)(e.into()))?;
    if program.path.exists() {
        return Ok(program);
    }
    for (name, content) in &files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        fs::write(&path, content).map_err(at(&path))?;
    }
    match manifest.language {
        Language::Go => build_go(&folder, manifest.needs.contains(&Need::Cgo), go)?,
        Language::C => build_c(&folder, &manifest.needs)?,
        Language::Rust => build_rust(&folder)?,
    }
    let partial = folder.join("program.partial");
    fs::rename(&partial, &program.path).map_err(at(&partial))?;
    Ok(program)
}

/// All files of a scenario's folder once it is unpacked.
fn sources(scenario: &Scenario, module: Option<&str>) -> Vec<(PathBuf, &'static [u8])> {
    let mut files: Vec<(PathBuf, &'static [u8])> = Vec::new();
    let language = scenario.manifest.language;
    let own = match language {
        Language::Rust => "src",
        Language::Go | Language::C => "",
    };
    files.extend(scenario.files().map(|(n, c)| (Path::new(own).join(n), c)));
    let kit = match language {
        Language::Go => below("kit/go").collect::<Vec<_>>(),
        Language::C => below("kit/c").collect(),
        Language::Rust => below("kit/rust").collect(),
    };
    let place = Path::new(if language == Language::C {
        ""
    } else {
        "labkit"
    });
    files.extend(kit.into_iter().map(|(n, c)| (place.join(n), c)));
    if let Some(module) = module {
        let folder = format!("modules/{module}");
        files.extend(below(&folder).map(|(n, c)| (PathBuf::from(n), c)));
    }
    files
}

fn digest(files: &[(PathBuf, &[u8])]) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}

fn build_go(folder: &Path, cgo: bool, go: Option<&str>) -> Result<(), Unready> {
    let mut command = tool("go", folder);
    command
        .args(["build", "-o", "program.partial", "."])
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", if cgo { "1" } else { "0" });
    if let Some(go) = go {
        command.env("GOTOOLCHAIN", format!("go{go}"));
    }
    run(command)
}

fn build_c(folder: &Path, needs: &[Need]) -> Result<(), Unready> {
    let with = |end: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
        names.sort();
        names
    };
    if needs.contains(&Need::BpfCompiler) {
        for source in with(".bpf.c") {
            let stem = source.trim_end_matches(".bpf.c");
            let object = format!("{stem}.bpf.o");
            let clang = needs::clang().ok_or_else(|| Unready::Needs("clang".into()))?;
            let mut command = tool(&clang, folder);
            command.args(["-g", "-O2", "-target", "bpf", "-c", &source, "-o", &object]);
            // Debian's headers of the architecture lie where only its own compiler looks.
            command.arg("-I/usr/include/x86_64-linux-gnu");
            run(command)?;
            let bpftool = needs::bpftool().ok_or_else(|| Unready::Needs("bpftool".into()))?;
            let mut command = tool(&bpftool, folder);
            command.args(["gen", "skeleton", &object, "name", stem]);
            let skeleton = output(command)?;
            let path = folder.join(format!("{stem}.skel.h"));
            fs::write(&path, skeleton).map_err(|error| Unready::Cache { path, error })?;
        }
    }
    let mut command = tool("cc", folder);
    command.args(["-std=gnu11", "-O1", "-g", "-Wall", "-o", "program.partial"]);
    command.args(
        with(".c")
            .into_iter()
            .filter(|name| !name.ends_with(".bpf.c")),
    );
    if needs.contains(&Need::Libbpf) {
        command.args(["-lbpf", "-lelf", "-lz"]);
    }
    command.arg("-lpthread");
    run(command)
}

fn build_rust(folder: &Path) -> Result<(), Unready> {
    let target = cache().join("rust-target");
    let mut command = tool("cargo", folder);
    command
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(&target)
        .env("CARGO_PROFILE_RELEASE_DEBUG", "1")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    // All scenarios have one folder, for what they have in common, and the same name in it.
    let place = cache().join("rust-target.lock");
    let failed = |error| Unready::Cache {
        path: place.clone(),
        error,
    };
    let lock = File::create(&place).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
    run(command)?;
    let built = target.join("release/scenario");
    let partial = folder.join("program.partial");
    fs::copy(&built, &partial).map_err(|error| Unready::Cache { path: built, error })?;
    Ok(())
}

fn tool(name: impl AsRef<Path>, folder: &Path) -> Command {
    let name = name.as_ref();
    let name = name
        .to_str()
        .and_then(needs::which)
        .unwrap_or_else(|| name.into());
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn run(command: Command) -> Result<(), Unready> {
    output(command).map(drop)
}

/// What it writes; if it fails, the first lines of what it says.
fn output(mut command: Command) -> Result<Vec<u8>, Unready> {
    const LINES: usize = 12;
    let tool = Path::new(command.get_program()).file_name();
    let tool = tool.unwrap_or_default().to_string_lossy().into_owned();
    let failed = |why: String| Unready::Build {
        tool: tool.clone(),
        why,
    };
    let output = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().take(LINES).collect();
    Err(failed(format!("{}\n{}", output.status, lines.join("\n"))))
}

/// The scenario's sources, with kit and module files, not built.
pub fn unpack(_scenario: &Scenario, _module: Option<&str>) -> Result<PathBuf, Unready> {
    unimplemented!()
}
