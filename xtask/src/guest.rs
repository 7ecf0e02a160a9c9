//! What every machine has in it, whatever it runs: init, a shell, bpftool, modules.

use crate::apt::Apt;
use crate::initramfs::Initramfs;
use crate::kernels::Kernel;
use crate::modules::{self, Modules};
use crate::plan::{self, Plan};
use crate::workspace::{Built, INIT, Workspace};
use crate::{apt, command};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The search path in the machine.
pub const SEARCH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs of the host that tests start or copy: busybox's are the same in name only, and one
/// that is copied under another name does something else. What the host lacks, busybox gives.
const HOST_TOOLS: [&str; 24] = [
    "cat", "chmod", "chown", "cp", "dash", "env", "false", "head", "ip", "kill", "ln", "ls",
    "mkdir", "mount", "mv", "nsenter", "rm", "setpriv", "sh", "sleep", "tc", "true", "umount",
    "unshare",
];

/// A machine's content, without its plan.
#[derive(Clone)]
pub struct Guest {
    /// The files; more may be added.
    pub files: Initramfs,
    modules: Vec<String>,
}

impl Guest {
    /// For one kernel.
    pub fn new(workspace: &Workspace, built: &Built, kernel: &Kernel) -> Result<Self> {
        let mut files = Initramfs::new();
        files.program_as(built.program(INIT)?, Path::new("/init"))?;
        add_shell(&mut files, &workspace.root.join(".cache"))?;
        add_tools(&mut files)?;
        match bpftool() {
            Some(path) => files.program_as(&path, Path::new("/usr/sbin/bpftool"))?,
            None => eprintln!("no bpftool here: the machine has none (make deps)"),
        }
        let mut modules = Vec::new();
        if let Some(folder) = &kernel.modules {
            let (order, missing) = Modules::new(folder)?.load_order(&modules::WANTED)?;
            for module in order {
                let path = format!("/lastref-vm/modules/{}.ko", module.name);
                files.bytes(&path, module.content, 0o644);
                modules.push(path);
            }
            if !missing.is_empty() {
                eprintln!("{} has no module {}", kernel.release, missing.join(", "));
            }
        }
        Ok(Self { files, modules })
    }

    /// Completes the plan, and writes the initramfs. Gives the nonce of the marks, which is also
    /// what tells this machine's content from any other.
    pub fn write(&mut self, plan: &mut Plan, file: &Path) -> Result<String> {
        plan.modules.clone_from(&self.modules);
        self.files
            .bytes(plan::PATH, plan.to_text("")?.into_bytes(), 0o644);
        let nonce = format!("{:016x}", self.files.digest()?);
        self.files
            .bytes(plan::PATH, plan.to_text(&nonce)?.into_bytes(), 0o644);
        self.files
            .write(file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(nonce)
    }
}

/// A static busybox under all its names, for tests and people who want a shell.
fn add_shell(files: &mut Initramfs, cache: &Path) -> Result<()> {
    let Some(busybox) = busybox(cache)? else {
        eprintln!("no static busybox from apt: the machine has no shell");
        return Ok(());
    };
    for name in command::text(Command::new(&busybox).arg("--list"))?.lines() {
        files.link(Path::new("/bin").join(name), "busybox");
    }
    files.program_as(&busybox, Path::new("/bin/busybox"))
}

fn add_tools(files: &mut Initramfs) -> Result<()> {
    for tool in HOST_TOOLS {
        let host = SEARCH.split(':').map(|folder| Path::new(folder).join(tool));
        if let Some(host) = host.into_iter().find(|path| path.exists()) {
            let guest = Path::new("/bin").join(tool);
            files.program_as(&host, &guest)?;
            files.link(Path::new("/usr/bin").join(tool), &guest);
        }
    }
    Ok(())
}

fn busybox(cache: &Path) -> Result<Option<PathBuf>> {
    let ours = cache.join("busybox/busybox");
    if ours.exists() {
        return Ok(Some(ours));
    }
    let system = Apt::of_system();
    if apt::require().is_err() || system.candidate("busybox-static")?.is_none() {
        return Ok(None);
    }
    let partial = cache.join(format!(".partial-busybox-{}", std::process::id()));
    fs::create_dir_all(&partial)?;
    let done = (|| {
        let package = system.download("busybox-static", &partial)?;
        apt::extract(&package, &partial)?;
        fs::create_dir_all(cache.join("busybox"))?;
        let program = ["bin/busybox", "usr/bin/busybox"]
            .map(|name| partial.join(name))
            .into_iter()
            .find(|path| path.exists())
            .context("the package busybox-static holds no busybox")?;
        fs::rename(program, &ours)?;
        Ok(())
    })();
    fs::remove_dir_all(&partial)?;
    done.map(|()| Some(ours))
}

/// The real bpftool. What Ubuntu has on the search path is a script that looks for the one of the
/// running kernel.
fn bpftool() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = [
        "/usr/sbin/bpftool",
        "/usr/local/sbin/bpftool",
        "/usr/bin/bpftool",
    ]
    .map(PathBuf::from)
    .into();
    let mut others = Vec::new();
    for folder in fs::read_dir("/usr/lib/linux-tools").into_iter().flatten() {
        others.extend(folder.ok().map(|f| f.path().join("bpftool")));
    }
    others.sort_by(|a, b| apt::compare(&b.to_string_lossy(), &a.to_string_lossy()));
    found.extend(others);
    found
        .into_iter()
        .find(|path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")))
}
