//! What a process runs: its executable, its language, the libraries that make handles.

use gobinary::{BuildInfo, Executable, Region, Source};
use libraries::{Language, Library, LibraryKind};
use model::Kind;
use process::{Error, Mapping, Proc, ProcessMemory};
use rustc_hash::FxHashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

/// A process, as it was when this was read: what it runs does not change but by exec, and after that its
/// memory can not be read any more.
#[derive(Debug)]
pub struct Target {
    pub pid: u32,
    pub comm: String,
    pub exe: Option<String>,
    /// Device and inode number of its executable, which another name does not change.
    image: Option<(u64, u64)>,
    pub start_ticks: Option<u64>,
    pub runs: Runs,
    pub libraries: Vec<Library>,
    /// Its mappings; none where they may not be read.
    pub mappings: Result<Vec<Mapping>, Error>,
}

/// What became of a process since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// It is there. It may have called exec with the very same file: then the memory that was opened is gone.
    Same,
    /// It has called exec, and runs something else.
    Another,
    /// It has ended.
    Ended,
}

/// What runs its code.
#[derive(Debug)]
pub enum Runs {
    Go(Box<GoProgram>),
    Other(Language),
    /// Its executable could not be read.
    Unread(Error),
    /// Its executable is none that is understood: why.
    Strange(String),
    /// It is no Go program, and has a Go runtime in a library: which.
    GoLibrary(String),
}

/// A Go program's file, and what it says of itself.
#[derive(Debug)]
pub struct GoProgram {
    pub file: File,
    /// Its device and inode number, as `/proc/PID/maps` shows them.
    pub inode: Option<(u64, u64)>,
    pub build: Result<BuildInfo, gobinary::Error>,
}

/// What is known of a process so far.
struct Described<'a> {
    proc: &'a Proc,
    pid: u32,
    exe: Option<&'a str>,
    mappings: Option<&'a [Mapping]>,
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
        let image = image(proc, pid);
        let (runs, mut libraries) = match proc.executable(pid) {
            Ok(file) => runs(
                file,
                &Described {
                    proc,
                    pid,
                    exe: described.exe.as_deref(),
                    mappings: mappings.as_deref().ok(),
                },
            ),
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
            image,
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
        match self.now(proc) {
            Now::Same => Ok(memory),
            Now::Another | Now::Ended => Err(Error::Gone { pid: self.pid }),
        }
    }

    /// What it is now.
    pub fn now(&self, proc: &Proc) -> Now {
        let Ok(described) = proc.describe(self.pid) else {
            return Now::Ended;
        };
        if described.start_ticks != self.start_ticks {
            return Now::Ended;
        }
        let same = |same| if same { Now::Same } else { Now::Another };
        match (self.image, image(proc, self.pid), &described.exe) {
            (Some(was), Some(is), _) => same(was == is),
            // A zombie; or its main thread is one, and others run on.
            (Some(_), None, None) => Now::Ended,
            (_, _, exe) => same(name(exe.as_deref()) == name(self.exe.as_deref())),
        }
    }
}

fn image(proc: &Proc, pid: u32) -> Option<(u64, u64)> {
    let file = proc.executable(pid).ok()?;
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn name(exe: Option<&str>) -> Option<&str> {
    exe.map(without_deleted)
}

/// As a file was called before somebody removed it.
pub fn without_deleted(exe: &str) -> &str {
    exe.strip_suffix(" (deleted)").unwrap_or(exe)
}

fn runs(file: File, described: &Described<'_>) -> (Runs, Vec<Library>) {
    let mappings = described.mappings.unwrap_or_default();
    match Executable::open(&file).map(|program| (program.is_go(), program)) {
        Ok((true, program)) => {
            let build = program.build_info();
            let libraries = go_libraries(&program, build.as_ref().ok(), &file, mappings);
            drop(program);
            let inode = inode(&file);
            let program = GoProgram { file, inode, build };
            return (Runs::Go(Box::new(program)), libraries);
        }
        // What other loaders take (binfmt_misc) is no ELF.
        Ok((false, _)) | Err(gobinary::Error::NotElf) => {}
        Err(error) => return (Runs::Strange(error.to_string()), vec![]),
    }
    if let Some(path) = go_library(described) {
        let why = format!("it has loaded {path}, which brings a Go runtime of its own");
        return (Runs::GoLibrary(why), vec![]);
    }
    let bytes = first_bytes(&file);
    let mapped = mappings.iter().map(|m| m.path.as_str());
    let language = libraries::language(described.exe, mapped, &bytes);
    (Runs::Other(language), libraries::of_bytes(&bytes))
}

/// Device and inode number of a file, as `/proc/PID/maps` shows them.
pub fn inode(file: &File) -> Option<(u64, u64)> {
    let meta = file.metadata().ok()?;
    let dev = meta.dev();
    let device = u64::from(rustix::fs::major(dev)) << 32 | u64::from(rustix::fs::minor(dev));
    Some((device, meta.ino()))
}

fn first_bytes(file: &File) -> Vec<u8> {
    let size = Source::size(file).unwrap_or(0).min(SEARCHED) as usize;
    let mut bytes = vec![0; size];
    if Source::read_at(file, 0, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

/// A library that Go code is in (`-buildmode=c-shared`).
fn go_library(described: &Described<'_>) -> Option<String> {
    /// More are not looked at.
    const FILES: usize = 256;
    let mut seen = FxHashSet::default();
    let code = described.mappings?.iter().filter(|m| m.region.executable);
    let files = code.filter(|m| seen.insert(m.region.file) && m.path.starts_with('/'));
    for mapping in files.take(FILES) {
        if let Ok(file) = described.proc.mapped_file(described.pid, mapping)
            && Executable::open(&file).is_ok_and(|program| program.is_go())
        {
            return Some(mapping.path.clone());
        }
    }
    None
}

/// C code counts where libbpf is: every program that resolves names of hosts has some.
fn go_libraries(
    program: &Executable<'_>,
    build: Option<&BuildInfo>,
    file: &File,
    mappings: &[Mapping],
) -> Vec<Library> {
    let deps = build.iter().flat_map(|build| &build.deps).map(|dep| {
        // It is known by the path that is imported, and does what the code does that was built.
        (dep.path.as_str(), dep.built().1)
    });
    let main = build.and_then(|build| build.main.as_ref());
    let main = main.map(|main| (main.path.as_str(), Some(main.version.as_str())));
    let mut linked = Vec::new();
    if program.uses_cgo().unwrap_or(false) {
        linked = libraries::of_files(mappings.iter().map(|m| m.path.as_str()));
        linked.extend(libraries::of_bytes(&first_bytes(file)));
        linked.retain(|library| library.kind == LibraryKind::Libbpf);
    }
    let mut found = libraries::of_modules(deps.chain(main), !linked.is_empty());
    found.extend(linked.into_iter().take(1));
    found
}
