//! The Go program that is looked at: built from `bench/explain/target` with the lab's module files, started, asked.

use anyhow::{Context as _, Result, ensure};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// Its source.
const SOURCE: &str = include_str!("../target/main.go");

/// The built programs.
pub struct Programs {
    _folder: TempDir,
    by_module: HashMap<&'static str, PathBuf>,
}

impl Programs {
    /// Builds one with each of the lab's module files. From the top of the repository.
    pub fn build(modules: &[&'static str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut by_module = HashMap::new();
        for module in modules {
            let at = folder.path().join(module);
            fs::create_dir(&at)?;
            fs::write(at.join("main.go"), SOURCE)?;
            for name in ["go.mod", "go.sum"] {
                let from = Path::new("lab/modules").join(module).join(name);
                fs::copy(&from, at.join(name))
                    .with_context(|| format!("{} cannot be copied", from.display()))?;
            }
            let program = at.join("target");
            let built = Command::new("go")
                .args(["build", "-buildvcs=false", "-o"])
                .arg(&program)
                .arg(".")
                .current_dir(&at)
                .status()
                .context("go does not start")?;
            ensure!(built.success(), "the program for {module} does not build");
            by_module.insert(*module, program);
        }
        Ok(Self {
            _folder: folder,
            by_module,
        })
    }

    /// Starts one, and waits until it holds everything.
    pub fn start(
        &self,
        module: &'static str,
        handles: u64,
        maps: u64,
        heap_mib: u64,
    ) -> Result<Target> {
        let program = self.by_module.get(module).context("it was not built")?;
        let mut child = Command::new(program)
            .args([handles, maps, heap_mib].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("a pipe was asked for")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut target = Target {
            child,
            stdin: Some(stdin),
            stdout: BufReader::new(stdout),
            module,
            program: program.clone(),
            maps,
            heap_mib,
        };
        ensure!(target.line()? == ".", "the program did not get ready");
        Ok(target)
    }
}

/// A running one. Dropping it ends it; so does our own end, as its input closes.
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    module: &'static str,
    program: PathBuf,
    maps: u64,
    heap_mib: u64,
}

impl Target {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn module(&self) -> &'static str {
        self.module
    }

    pub fn maps(&self) -> u64 {
        self.maps
    }

    pub fn heap_mib(&self) -> u64 {
        self.heap_mib
    }

    /// Its executable.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The largest gap, in nanoseconds, in which a thread of it that never sleeps did not run while `during` ran.
    pub fn gap<T>(&mut self, during: impl FnOnce() -> T) -> Result<(u64, T)> {
        self.say("begin\n")?;
        let value = during();
        self.say("end\n")?;
        let gap = self.line()?.parse().context("no number of nanoseconds")?;
        Ok((gap, value))
    }

    /// Resident memory.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.context("no VmRSS")?.parse().context("no number")
    }

    fn say(&mut self, word: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("it was told to end")?;
        Ok(stdin.write_all(word.as_bytes())?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
