//! Where things are in this workspace, and what cargo builds in it.

use crate::command;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package of the tests from outside, of `vm-init`, and of what else the tests start.
pub const E2E: &str = "lastref-e2e";
/// The package of the program under test.
pub const PROGRAM: &str = "lastref";
/// Process 1 of the machines.
pub const INIT: &str = "vm-init";

/// The checkout.
pub struct Workspace {
    /// Its root folder.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// Name and folder of each member, by cargo's package id.
    packages: BTreeMap<String, (String, PathBuf)>,
    /// The package of each program.
    programs: BTreeMap<String, String>,
}

/// A program with tests in it, made by `cargo test`.
#[derive(Clone, Debug)]
pub struct TestProgram {
    /// What the target is called: `matrix` for `tests/matrix/main.rs` of the e2e package,
    /// `lastref-process/live` for those of others.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// Folder of its package, the working directory that cargo gives to tests.
    pub folder: PathBuf,
}

/// What was built.
#[derive(Debug, Default)]
pub struct Built {
    /// Programs by name.
    pub programs: BTreeMap<String, PathBuf>,
    /// Test programs.
    pub tests: Vec<TestProgram>,
    /// Folders that the build scripts of the tests' packages wrote into. Paths of files in them
    /// may be compiled into the tests.
    pub out_folders: Vec<PathBuf>,
    /// What these build scripts set by `rustc-env`.
    pub build_env: BTreeMap<String, String>,
}

impl Workspace {
    /// Asks cargo.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let text = command::text(
            cargo()
                .args([
                    "metadata",
                    "--format-version=1",
                    "--no-deps",
                    "--manifest-path",
                ])
                .arg(env::var_os("CARGO_MANIFEST_PATH").unwrap_or(manifest.into())),
        )?;
        let metadata: Value = serde_json::from_str(&text)?;
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        let mut packages = BTreeMap::new();
        let mut programs = BTreeMap::new();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let (Some(id), Some(name), Some(manifest)) = (
                package["id"].as_str(),
                package["name"].as_str(),
                path(&package["manifest_path"]),
            ) else {
                continue;
            };
            let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
            packages.insert(id.to_owned(), (name.to_owned(), folder));
            for target in package["targets"].as_array().into_iter().flatten() {
                if let (Some("bin"), Some(program)) =
                    (target["kind"][0].as_str(), target["name"].as_str())
                {
                    programs.insert(program.to_owned(), name.to_owned());
                }
            }
        }
        Ok(Self {
            root: path(&metadata["workspace_root"]).context("cargo names no workspace")?,
            target: path(&metadata["target_directory"]).context("cargo names no target folder")?,
            packages,
            programs,
        })
    }

    /// Where kernels are kept.
    pub fn kernel_cache(&self) -> PathBuf {
        self.root.join(".cache/kernels")
    }

    /// A folder for initramfs, kernel logs and results, made if needed.
    pub fn scratch(&self) -> Result<PathBuf> {
        let folder = self.target.join("vm");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Waits until no other run uses the scratch folder. It is free again when the file is dropped.
    pub fn lock_scratch(&self) -> Result<File> {
        let file = File::create(self.scratch()?.join("lock"))?;
        // SAFETY: flock(2) gets a descriptor that is open and takes no pointers.
        let busy = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0;
        if busy {
            eprintln!("waiting for another run to end");
            // SAFETY: as above.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
                return Err(std::io::Error::last_os_error().into());
            }
        }
        Ok(file)
    }

    /// Builds process 1 of the machines, and one more program of the workspace if `wanted` names one.
    pub fn build_init(&self, wanted: Option<&str>) -> Result<Built> {
        let mut built = self.cargo(
            &["build", "-p", E2E, "--bin", INIT].map(OsString::from),
            &[],
        )?;
        if let Some((name, package)) = wanted.and_then(|w| self.programs.get_key_value(w)) {
            let args = ["build", "-p", package, "--bin", name].map(OsString::from);
            built.programs.extend(self.cargo(&args, &[])?.programs);
        }
        Ok(built)
    }

    /// Builds the tests of the packages. Those of the e2e package are its integration tests (its
    /// own unit tests need no kernel), and come with the program under test and all programs of
    /// the package.
    pub fn build_tests(&self, packages: &[String]) -> Result<Built> {
        let mut built = if packages.iter().any(|package| package == E2E) {
            let args = ["build", "-p", PROGRAM, "-p", E2E, "--bins"];
            self.cargo(&args.map(OsString::from), &[])?
        } else {
            self.build_init(None)?
        };
        let mut args = vec![OsString::from("test"), "--no-run".into()];
        for package in packages {
            args.extend(["-p".into(), package.into()]);
        }
        let tests = self.cargo(&args, packages)?;
        built.tests = tests.tests;
        // Cargo tells them in the order in which they became ready.
        built.tests.sort_by(|a, b| a.path.cmp(&b.path));
        built.programs.extend(tests.programs);
        built.out_folders = tests.out_folders;
        built.out_folders.sort();
        built.build_env = tests.build_env;
        Ok(built)
    }

    fn cargo(&self, args: &[OsString], packages: &[String]) -> Result<Built> {
        let done = cargo()
            .args(args)
            .arg("--message-format=json-render-diagnostics")
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        if !done.status.success() {
            bail!("cargo {} failed", args[0].display());
        }
        let mut built = Built::default();
        for line in String::from_utf8_lossy(&done.stdout).lines() {
            if let Ok(message) = serde_json::from_str::<Value>(line) {
                self.message(&message, packages, &mut built);
            }
        }
        Ok(built)
    }

    fn message(&self, message: &Value, packages: &[String], built: &mut Built) {
        let id = message["package_id"].as_str().unwrap_or_default();
        let Some((package, folder)) = self.packages.get(id) else {
            return;
        };
        match message["reason"].as_str() {
            Some("compiler-artifact") => {
                let Some(path) = message["executable"].as_str().map(PathBuf::from) else {
                    return;
                };
                let name = message["target"]["name"].as_str().unwrap_or("?").to_owned();
                let kind = message["target"]["kind"][0].as_str().unwrap_or("");
                if message["profile"]["test"].as_bool() != Some(true) {
                    built.programs.insert(name, path);
                } else if packages.contains(package) && (kind == "test" || package != E2E) {
                    built.tests.push(TestProgram {
                        name: if package == E2E {
                            name
                        } else {
                            format!("{package}/{name}")
                        },
                        path,
                        folder: folder.clone(),
                    });
                }
            }
            Some("build-script-executed") if packages.contains(package) => {
                built
                    .out_folders
                    .extend(message["out_dir"].as_str().map(PathBuf::from));
                for pair in message["env"].as_array().into_iter().flatten() {
                    if let (Some(key), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
                        built.build_env.insert(key.to_owned(), value.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
}

impl Built {
    /// A program that must have been built.
    pub fn program(&self, name: &str) -> Result<&Path> {
        self.programs
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("cargo built no program {name}"))
    }
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tests_and_programs_are_told_apart() {
        let workspace = Workspace {
            root: "/w".into(),
            target: "/w/target".into(),
            packages: [
                (
                    "e2e#1".to_owned(),
                    (E2E.to_owned(), PathBuf::from("/w/e2e")),
                ),
                ("k#1".to_owned(), ("k".to_owned(), PathBuf::from("/w/k"))),
            ]
            .into(),
            programs: BTreeMap::new(),
        };
        let artifact = |id: &str, kind: &str, test: bool, path: &str| {
            json!({"reason": "compiler-artifact", "package_id": id, "executable": path,
                   "target": {"name": path, "kind": [kind]}, "profile": {"test": test}})
        };
        let mut built = Built::default();
        for message in [
            artifact("e2e#1", "bin", false, "vm-init"),
            artifact("e2e#1", "bin", true, "vm-init-unit"),
            artifact("e2e#1", "lib", true, "e2e-unit"),
            artifact("e2e#1", "test", true, "matrix"),
            artifact("k#1", "lib", true, "k-unit"),
            artifact("other#1", "test", true, "other"),
            json!({"reason": "build-script-executed", "package_id": "e2e#1", "out_dir": "/o",
                   "env": [["A", "b"]]}),
        ] {
            workspace.message(&message, &[E2E.to_owned(), "k".to_owned()], &mut built);
        }
        let names: Vec<&str> = built.tests.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["matrix", "k/k-unit"]);
        assert_eq!(built.programs.keys().collect::<Vec<_>>(), ["vm-init"]);
        assert_eq!(built.out_folders, [Path::new("/o")]);
        assert_eq!(built.build_env["A"], "b");
    }
}
