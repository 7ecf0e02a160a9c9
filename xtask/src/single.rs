//! `cargo xtask vm`: one program on one kernel.

use crate::guest::{Guest, SEARCH};
use crate::kernel_log;
use crate::kernels::{self, Kernel};
use crate::plan::{Command, Plan};
use crate::stream::{Event, Outcome};
use crate::vm::{Ending, Machine};
use crate::workspace::{Built, Workspace};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is asked for.
pub struct Request {
    /// A kernel as [`kernels::get`] takes it.
    pub kernel: String,
    /// Keep initramfs and kernel log, and say where.
    pub keep: bool,
    /// More of the host's files, folders and programs to pack.
    pub files: Vec<PathBuf>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// For the program.
    pub timeout: Duration,
    /// The program, by path or by the name of a built one, and its arguments.
    pub argv: Vec<String>,
}

/// Runs it and gives the program's exit status, 128 + n for a signal.
pub fn run(workspace: &Workspace, request: &Request) -> Result<u8> {
    let kernel = kernels::get(&request.kernel, &workspace.kernel_cache())?;
    let built = workspace.build_init(request.argv.first().map(String::as_str))?;
    let mut guest = Guest::new(workspace, &built, &kernel)?;
    let mut argv = request.argv.clone();
    let name = argv.first_mut().context("no program")?;
    if let Some(program) = find(name, &built)? {
        guest.files.program(&program)?;
        *name = program.display().to_string();
    }
    for file in &request.files {
        let file = std::path::absolute(file)?;
        if file.is_file() {
            guest.files.program(&file)?;
        } else {
            guest.files.host(&file)?;
        }
    }
    let mut env = vec![("PATH".to_owned(), SEARCH.to_owned())];
    for pair in &request.env {
        let (key, value) = pair
            .split_once('=')
            .with_context(|| format!("--env {pair}: not NAME=VALUE"))?;
        env.push((key.to_owned(), value.to_owned()));
    }
    let plan = Plan {
        env,
        commands: vec![Command {
            argv,
            cwd: "/".into(),
            timeout: request.timeout,
            silence: request.timeout,
        }],
        ..Plan::default()
    };
    boot(workspace, request, &kernel, &mut guest, plan)
}

fn boot(
    workspace: &Workspace,
    request: &Request,
    kernel: &Kernel,
    guest: &mut Guest,
    mut plan: Plan,
) -> Result<u8> {
    // Several machines may run at a time.
    let scratch = workspace.scratch()?.join(std::process::id().to_string());
    std::fs::create_dir_all(&scratch)?;
    let initrd = scratch.join("initrd");
    let nonce = guest.write(&mut plan, &initrd)?;
    let machine = Machine {
        kernel,
        initrd: &initrd,
        plan: &plan,
        nonce: &nonce,
        log: scratch.join("kernel.log"),
    };
    let mut ended = None;
    let ending = machine.run(|event| match event {
        Event::Output(bytes) => {
            let mut out = std::io::stdout();
            // Whoever reads it may go away before the program does.
            let _ = out.write_all(&bytes).and_then(|()| out.flush());
        }
        Event::End(_, outcome, _) => ended = Some(outcome),
        Event::Note(note) => eprintln!("vm: {note}"),
        _ => {}
    });
    let log = machine.kernel_log();
    if request.keep {
        eprintln!("vm: kept {}", scratch.display());
    } else {
        std::fs::remove_dir_all(&scratch)?;
    }
    if let Ending::Died(why) = ending? {
        bail!("the machine died: {why}");
    }
    for complaint in kernel_log::complaints(&log) {
        for line in complaint.lines {
            eprintln!("KMSG: {line}");
        }
    }
    match ended {
        Some(Outcome::Exit(code)) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        Some(Outcome::Signal(number)) => Ok(u8::try_from(128 + number).unwrap_or(u8::MAX)),
        Some(Outcome::Timeout) => bail!("killed after {}s", request.timeout.as_secs()),
        Some(Outcome::NotStarted) | None => bail!("the program was not started"),
    }
}

/// The program on the host; `None` if the name is to be looked up in the machine.
fn find(name: &str, built: &Built) -> Result<Option<PathBuf>> {
    if name.contains('/') {
        let path = Path::new(name);
        return match path.canonicalize() {
            Ok(found) => Ok(Some(found)),
            // /bin/busybox and the like.
            Err(_) if path.is_absolute() => Ok(None),
            Err(error) => Err(error).with_context(|| format!("no program {name}")),
        };
    }
    Ok(built.programs.get(name).cloned())
}
