//! `cargo xtask wild`: a watch around programs that do not leak, on a kernel with kprobes and fentry.
//!
//! Every tool of libbpf-tools, and bpftrace, as the system's apt has them: downloaded, never
//! installed. They run in a machine under one `lastref watch` for longer than its window. None may
//! be called a leak.

use crate::apt::{self, Apt};
use crate::guest::{Guest, SEARCH};
use crate::initramfs::Initramfs;
use crate::kernels::{self, Kernel};
use crate::modules::Modules;
use crate::plan::{Command, Plan};
use crate::stream::{Event, Outcome};
use crate::vm::{Ending, Machine};
use crate::wild_report::Seen;
use crate::workspace::{PROGRAM, Workspace};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What runs in the machine.
const SCRIPT: &str = include_str!("wild-tools.sh");
/// What the tools look at: the functions of a file system are there once its module is.
const MODULES: [&str; 6] = ["loop", "ext4", "xfs", "btrfs", "nfs", "md_mod"];
/// The loader's, which is the host's.
const LIBC: &str = "libc6";
/// Where the watch writes its recording.
const RECORDING: &str = "/wild/recording";
/// A sweep takes far longer on an emulated processor. At the pace it would choose itself, a window
/// would have few of them.
const INTERVAL: &str = "2s";
/// Until all have started, and have ended.
const AROUND: Duration = Duration::from_secs(1800);

/// What is asked for.
pub struct Request {
    /// A kernel as [`kernels::get`] takes it.
    pub kernel: String,
    /// So long do they run, once all have started.
    pub seconds: u64,
    /// Without bpftrace, which takes 200 MB of libraries.
    pub only_libbpf_tools: bool,
}

/// Runs it. True if nothing was called a leak.
pub fn run(workspace: &Workspace, request: &Request) -> Result<bool> {
    let kernel = kernels::get(&request.kernel, &workspace.kernel_cache())?;
    let built = workspace.build_init(Some(PROGRAM))?;
    let mut guest = Guest::new(workspace, &built, &kernel)?;
    guest
        .files
        .program_as(built.program(PROGRAM)?, &Path::new("/bin").join(PROGRAM))?;
    let cache = workspace.root.join(".cache/wild");
    let tools = packages(&cache, "libbpf-tools")?;
    add_programs(&mut guest.files, &tools, "usr/sbin")?;
    if !request.only_libbpf_tools {
        let bpftrace = packages(&cache, "bpftrace")?;
        add_programs(&mut guest.files, &bpftrace, "usr/bin")?;
    }
    let bash = Path::new("/bin/bash");
    if bash.exists() {
        guest.files.program(bash)?;
    }
    add_modules(&mut guest.files, &kernel)?;
    guest
        .files
        .bytes("/wild/tools.sh", SCRIPT.as_bytes().to_vec(), 0o755);
    let seen = boot(workspace, request, &kernel, guest)?;
    let clean = seen.report(&kernel.version);
    Ok(clean)
}

fn boot(
    workspace: &Workspace,
    request: &Request,
    kernel: &Kernel,
    mut guest: Guest,
) -> Result<Seen> {
    let seconds = request.seconds.to_string();
    let watch = [
        PROGRAM,
        "watch",
        "--json",
        "--interval",
        INTERVAL,
        "--record",
        RECORDING,
        "--",
        "sh",
        "/wild/tools.sh",
        &seconds,
    ];
    let time = AROUND + Duration::from_secs(request.seconds);
    let command = |argv: &[&str]| Command {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        cwd: "/".into(),
        timeout: time,
        silence: time,
    };
    let mut plan = Plan {
        env: vec![("PATH".to_owned(), SEARCH.to_owned())],
        commands: vec![command(&watch), command(&["cat", RECORDING])],
        ..Plan::default()
    };
    let scratch = workspace
        .scratch()?
        .join(format!("wild-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let initrd = scratch.join("initrd");
    let nonce = guest.write(&mut plan, &initrd)?;
    let machine = Machine {
        kernel,
        initrd: &initrd,
        plan: &plan,
        nonce: &nonce,
        log: workspace.scratch()?.join("wild-kernel.log"),
    };
    let mut seen = Seen::default();
    let mut recording = Vec::new();
    let mut outcomes = [None; 2];
    let mut at = 0;
    let mut rest = Vec::new();
    let ending = machine.run(|event| match event {
        Event::Begin(index) => at = index,
        Event::Output(bytes) if at == 0 => {
            rest.extend(bytes);
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                seen.line(String::from_utf8_lossy(&line).trim_end());
            }
        }
        Event::Output(bytes) => recording.extend(bytes),
        Event::End(index, outcome, _) if index < outcomes.len() => outcomes[index] = Some(outcome),
        Event::Note(note) => eprintln!("vm: {note}"),
        _ => {}
    });
    fs::remove_dir_all(&scratch)?;
    if let Ending::Died(why) = ending? {
        bail!("the machine died: {why}");
    }
    ensure!(
        outcomes == [Some(Outcome::Exit(0)); 2],
        "the watch ended otherwise than it should: {outcomes:?}"
    );
    let file = workspace.scratch()?.join("wild.recording");
    fs::write(&file, &recording)?;
    println!("recording: {}", file.display());
    seen.recording(&String::from_utf8_lossy(&recording));
    Ok(seen)
}

/// Unpacks a package, and what it depends on, into the cache, and gives the folder.
fn packages(cache: &Path, package: &str) -> Result<PathBuf> {
    let apt = Apt::of_system();
    apt::require()?;
    let version = apt.candidate(package)?.with_context(|| {
        format!("apt offers no {package}; if the lists are old: apt-get update")
    })?;
    let folder = cache.join(format!("{package}_{version}"));
    if folder.exists() {
        return Ok(folder);
    }
    eprintln!("fetching {package} {version}");
    // Unpacked beside its place and then renamed: a folder under its name is complete.
    let partial = cache.join(format!(".partial-{}", std::process::id()));
    let done = (|| {
        let (root, files) = (partial.join("root"), partial.join("packages"));
        fs::create_dir_all(&root)?;
        fs::create_dir_all(&files)?;
        let mut seen = BTreeSet::from([LIBC.to_owned()]);
        let mut todo = vec![package.to_owned()];
        while let Some(name) = todo.pop() {
            // A name in angle brackets is of no package, but of something that others provide.
            if name.starts_with('<') || !seen.insert(name.clone()) {
                continue;
            }
            todo.extend(apt.depends(&name)?);
            apt::extract(&apt.download(&name, &files)?, &root)?;
        }
        Ok(fs::rename(&root, &folder)?)
    })();
    let _ = fs::remove_dir_all(&partial);
    done.map(|()| folder)
}

/// All programs in one folder of an unpacked package.
fn add_programs(files: &mut Initramfs, root: &Path, folder: &str) -> Result<()> {
    let programs = root.join(folder);
    for entry in fs::read_dir(&programs)
        .with_context(|| format!("the package has no {}", programs.display()))?
    {
        let path = entry?.path();
        // bpftrace comes with scripts.
        if path.extension().is_none() {
            let name = path.file_name().unwrap_or_default();
            files.unpacked_program(&path, &Path::new("/wild/bin").join(name), root)?;
        }
    }
    Ok(())
}

/// In the order in which the script loads them, which is that of their names.
fn add_modules(files: &mut Initramfs, kernel: &Kernel) -> Result<()> {
    let Some(folder) = &kernel.modules else {
        return Ok(());
    };
    let (order, missing) = Modules::new(folder)?.load_order(&MODULES)?;
    for (index, module) in order.into_iter().enumerate() {
        let path = format!("/wild/modules/{index:02}-{}.ko", module.name);
        files.bytes(path, module.content, 0o644);
    }
    if !missing.is_empty() {
        eprintln!("{} has no module {}", kernel.release, missing.join(", "));
    }
    Ok(())
}
