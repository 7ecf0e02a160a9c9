//! Runs compilers.

use crate::build::Build;
use crate::cache::{Folder, Use, cache};
use crate::manifest::{Language, Manifest, Need};
use crate::needs;
use crate::prepare::Unready;
use crate::tools;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is being built has this name until it is whole.
pub const PARTIAL: &str = "program.partial";

const GO: [&str; 4] = ["build", "-o", PARTIAL, "."];
const GO_ENV: [(&str, &str); 2] = [("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];
const CC: [&str; 6] = ["-std=gnu11", "-O1", "-g", "-Wall", "-o", PARTIAL];
const LIBBPF: [&str; 3] = ["-lbpf", "-lelf", "-lz"];
const BPF: [&str; 4] = ["-g", "-O2", "-target", "bpf"];
const CARGO: [&str; 4] = ["build", "--release", "--locked", "--quiet"];
const CARGO_ENV: (&str, &str) = ("CARGO_PROFILE_RELEASE_DEBUG", "1");

/// All that makes a program what it is beside its source: how it is built, and by what. Another
/// recipe is another program.
pub fn recipe(manifest: &Manifest, build: &Build) -> Vec<String> {
    let version = |tool: &str| tools::answer(Path::new(tool), &["--version"], &[]);
    let needs = |need| manifest.needs.contains(&need);
    let mut recipe: Vec<String> = match manifest.language {
        Language::Go => {
            let [asked, here] = tools::go();
            let asked = build
                .go
                .as_ref()
                .map_or(asked, |release| format!("go{release}"));
            let mut recipe = vec![format!("{GO:?}"), format!("{GO_ENV:?}"), asked, here];
            recipe.extend(build.flags.iter().cloned());
            recipe
        }
        Language::C => vec![format!("{CC:?}"), tools::multiarch()],
        Language::Rust => vec![
            format!("{CARGO:?}"),
            format!("{CARGO_ENV:?}"),
            version("cargo"),
            tools::answer(Path::new("rustc"), &["-vV"], &[]),
        ],
    };
    // Crates bring C, too.
    if manifest.language != Language::Go || needs(Need::Cgo) {
        recipe.push(version("cc"));
    }
    if needs(Need::Libbpf) {
        recipe.extend([format!("{LIBBPF:?}"), tools::libbpf()]);
    }
    if needs(Need::BpfCompiler) {
        let compiler = needs::clang().unwrap_or_default();
        let bpftool = needs::bpftool().unwrap_or_default();
        recipe.push(format!("{BPF:?}"));
        recipe.push(tools::answer(&compiler, &["--version"], &[]));
        recipe.push(tools::answer(&bpftool, &["version"], &[]));
    }
    recipe
}

/// Makes [`PARTIAL`] of the sources in a folder.
pub fn compile(folder: &Path, manifest: &Manifest, build: &Build) -> Result<(), Unready> {
    match manifest.language {
        Language::Go => build_go(folder, manifest.needs.contains(&Need::Cgo), build),
        Language::C => build_c(folder, &manifest.needs),
        Language::Rust => build_rust(folder),
    }
}

fn build_go(folder: &Path, cgo: bool, build: &Build) -> Result<(), Unready> {
    let mut command = tool("go", folder);
    command
        .args(&GO[..1])
        .args(build.words())
        .args(&GO[1..])
        .envs(GO_ENV)
        .envs(build.variables())
        .env("CGO_ENABLED", if cgo { "1" } else { "0" });
    if let Some(go) = &build.go {
        command.env("GOTOOLCHAIN", format!("go{go}"));
        // Go 1.19's index of modules does not find its own packages where toolchains are fetched to.
        if go.starts_with("1.19.") {
            command.env("GODEBUG", "goindex=0");
        }
    }
    // A module's own headers come before the system's: cgo of a library sees no other flags of ours.
    let headers = folder.join("include");
    if headers.is_dir() {
        command.env("CPATH", headers);
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
            command.args(BPF).args(["-c", &source, "-o", &object]);
            // Debian's headers of the architecture lie where only its own compiler looks.
            command.arg(format!("-I/usr/include/{}", tools::multiarch()));
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
    command.args(CC).args(
        with(".c")
            .into_iter()
            .filter(|name| !name.ends_with(".bpf.c")),
    );
    if needs.contains(&Need::Libbpf) {
        command.args(LIBBPF);
    }
    command.arg("-lpthread");
    run(command)
}

fn build_rust(folder: &Path) -> Result<(), Unready> {
    // All scenarios have one folder, for what they have in common, and the same name in it.
    let target = Folder::of(&cache(), "rust", Use::Write)?;
    touch(folder).map_err(|error| Unready::Cache {
        path: folder.into(),
        error,
    })?;
    let mut command = tool("cargo", folder);
    command
        .args(CARGO)
        .arg("--target-dir")
        .arg(&target.path)
        .envs([CARGO_ENV])
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    run(command)?;
    let built = target.path.join("release/scenario");
    let partial = folder.join(PARTIAL);
    fs::copy(&built, &partial).map_err(|error| Unready::Cache { path: built, error })?;
    Ok(())
}

/// Makes all sources newer than whatever was built before. Cargo tells two packages in one target
/// folder apart by their place in their workspace, which is the same for all scenarios
/// (`SourceId::stable_hash`), and then only by time: the program of another that was built since the
/// sources were written would be taken for this one's.
fn touch(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            touch(&entry.path())?;
        } else {
            let file = fs::File::options().append(true).open(entry.path())?;
            file.set_modified(std::time::SystemTime::now())?;
        }
    }
    Ok(())
}

fn tool(name: impl AsRef<Path>, folder: &Path) -> Command {
    let name = name.as_ref();
    let path: PathBuf = name
        .to_str()
        .and_then(needs::which)
        .unwrap_or_else(|| name.into());
    let mut command = Command::new(path);
    command.current_dir(folder).stdin(Stdio::null());
    // SAFETY: between fork and exec only a system call is made, with a constant.
    unsafe {
        command.pre_exec(|| {
            // Else it would write on in a folder that the next lab takes for its own.
            set_parent_process_death_signal(Some(Signal::TERM))?;
            Ok(())
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_toolchain_is_another_recipe() {
        let all = crate::scenarios().iter();
        let mut of_go = all.filter(|s| s.manifest.language == Language::Go);
        let manifest = &of_go.next().expect("there are some").manifest;
        let recipe = |build| recipe(manifest, &build);
        let of = |release: &str| Build {
            go: Some(release.into()),
            ..Build::default()
        };
        let here = recipe(Build::default());
        assert_eq!(here, recipe(Build::default()));
        assert_ne!(here, recipe(of("1.23.4")));
        assert_ne!(recipe(of("1.23.5")), recipe(of("1.23.4")));
        let flags = vec!["-buildmode=pie".to_owned()];
        let build = Build::default();
        assert_ne!(here, recipe(Build { flags, ..build }));
    }

    #[test]
    fn a_compiler_has_no_signals_held_back() {
        let mut command = tool("sh", Path::new("/"));
        command.args(["-c", "grep SigBlk /proc/self/status"]);
        let said = output(command).expect("it runs");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(said.split_whitespace().nth(1), Some("0000000000000000"));
    }
}
