//! What a process runs: its executable, its language, the libraries that make handles.

use gobinary::{BuildInfo, Executable, Region, Source};
use libraries::{Language, Library};
use model::Kind;
use process::{Error, Mapping, Proc, ProcessMemory};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

/// A process, as it was when this was read: what it runs does not change but by exec, and after that its
/// memory can not be read any more.
#[derive(Debug)]
pub struct Target {
    pub pid: u32,
    pub comm: String,
    pub exe: Option<String>,
    pub start_ticks: Option<u64>,
    pub runs: Runs,
    pub libraries: Vec<Library>,
    /// Its mappings; none where they may not be read.
    pub mappings: Result<Vec<Mapping>, Error>,
}

/// What runs its code.
#[derive(Debug)]
pub enum Runs {
    Go(Box<GoProgram>),
    Other(Language),
    /// Its executable could not be read.
    Unread(Error),
}

/// A Go program's file, and what it says of itself.
#[derive(Debug)]
pub struct GoProgram {
    pub file: File,
    /// Its device and inode number, as `/proc/PID/maps` shows them.
    pub inode: Option<(u64, u64)>,
    pub build: Result<BuildInfo, gobinary::Error>,
}

/// Of a program that is not Go, so much is searched for traces of libraries.
const SEARCHED: u64 = 64 << 20;

impl Target {
    /// Reads what there is to know before any look.
    ///
    /// # Errors
    /// The process is gone, or there is no `/proc`. Whatever else cannot be read is so in the answer.
    pub fn of(proc: &Proc, pid: u32) -> Result<Self, Error> {
        let described = proc.describe(pid)?;
        let mappings = proc.mappings(pid);
        let (runs, mut libraries) = match proc.executable(pid) {
            Ok(file) => runs(file, described.exe.as_deref(), mappings.as_deref().ok()),
            // A kernel thread has none.
            Err(error) if error.is_missing() => (Runs::Other(Language::Unknown), vec![]),
            Err(error) => (Runs::Unread(error), vec![]),
        };
        let mapped = mappings.iter().flatten().map(|m| m.path.as_str());
        for library in libraries::of_files(mapped) {
            if !libraries.iter().any(|known| known.kind == library.kind) {
                libraries.push(library);
            }
        }
        Ok(Self {
            pid,
            comm: described.comm.to_string(),
            exe: described.exe.as_deref().map(str::to_owned),
            start_ticks: described.start_ticks,
            runs,
            libraries,
            mappings,
        })
    }

    /// Files on maps that it has mapped, and their bytes: how many mappings, and how large they are together.
    pub fn mapped_maps(&self) -> (u64, u64) {
        let all = self.mappings.iter().flatten();
        let maps = all.filter(|mapping| mapping.object == Some(Kind::Map));
        maps.fold((0, 0), |(count, bytes), mapping| {
            (
                count + 1,
                bytes + (mapping.region.end - mapping.region.start),
            )
        })
    }

    pub fn regions(&self) -> Vec<Region> {
        let all = self.mappings.iter().flatten();
        all.map(|mapping| mapping.region.clone()).collect()
    }

    /// Opens its memory, if it still is the process that was read.
    pub fn memory(&self, proc: &Proc) -> Result<ProcessMemory, Error> {
        let memory = proc.memory(self.pid)?;
        if self.is_there(proc) {
            Ok(memory)
        } else {
            Err(Error::Gone { pid: self.pid })
        }
    }

    /// It has not ended, nor called exec.
    pub fn is_there(&self, proc: &Proc) -> bool {
        let now = proc.describe(self.pid);
        now.is_ok_and(|now| {
            now.start_ticks == self.start_ticks && now.exe.as_deref() == self.exe.as_deref()
        })
    }
}

fn runs(file: File, exe: Option<&str>, mappings: Option<&[Mapping]>) -> (Runs, Vec<Library>) {
    let mapped = || mappings.into_iter().flatten().map(|m| m.path.as_str());
    if let Ok(program) = Executable::open(&file)
        && program.is_go()
    {
        let build = program.build_info();
        drop(program);
        let libraries = build.as_ref().map_or_else(|_| vec![], go_libraries);
        let inode = file.metadata().ok().map(|meta| {
            let dev = meta.dev();
            let device =
                u64::from(rustix::fs::major(dev)) << 32 | u64::from(rustix::fs::minor(dev));
            (device, meta.ino())
        });
        let program = GoProgram { file, inode, build };
        return (Runs::Go(Box::new(program)), libraries);
    }
    let size = Source::size(&file).unwrap_or(0).min(SEARCHED) as usize;
    let mut bytes = vec![0; size];
    if Source::read_at(&file, 0, &mut bytes).is_err() {
        bytes.clear();
    }
    let language = libraries::language(exe, mapped(), &bytes);
    (Runs::Other(language), libraries::of_bytes(&bytes))
}

fn go_libraries(build: &BuildInfo) -> Vec<Library> {
    let deps = build.deps.iter().map(|dep| {
        // It is known by the path that is imported, and does what the code does that was built.
        (dep.path.as_str(), dep.built().1)
    });
    let main = build
        .main
        .iter()
        .map(|main| (main.path.as_str(), Some(main.version.as_str())));
    let cgo = build.setting("CGO_ENABLED") == Some("1");
    libraries::of_modules(deps.chain(main), cgo)
}
