//! The Go runtime of a process: who owns each descriptor, and what the collector says of that owner.

mod owners;
mod pauses;
mod place;
mod queues;
#[cfg(test)]
mod tests;
mod whole;
mod words;

use super::target::{GoProgram, Runs, Target};
use super::{Held, ProfiledStack};
use crate::handles::Handle;
use crate::privilege::{READ_SEARCH, SYS_PTRACE, lacking};
use explain::evidence::{self, Gc, Ownership, Reading, Runtime, Why};
use gobinary::layout::Layout;
use gobinary::{Executable, Region};
use goheap::{Heap, Look, Phase, Program};
use libraries::Library;
use model::Site;
use owners::Owners;
use pauses::Pauses;
use process::{Proc, ProcessMemory};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a reading of a process's memory needs to be there.
#[derive(Debug)]
pub struct Parts<'t> {
    executable: Executable<'t>,
    memory: ProcessMemory,
    regions: Vec<Region>,
    inode: Option<(u64, u64)>,
    layout: Option<Layout>,
    /// The process itself, to see whether it is paused.
    process: (Proc, u32),
}

/// What could not be read, and what it would take.
#[derive(Debug, Clone)]
pub struct Unreadable {
    why: Why,
    needs: Arc<str>,
}

impl<'t> Parts<'t> {
    /// Opens the executable and the memory. `Ok(None)`: it is no Go program.
    pub fn open(proc: &Proc, target: &'t Target) -> Result<Option<Self>, Unreadable> {
        let program = match &target.runs {
            Runs::Go(program) => program,
            Runs::Other(_) => return Ok(None),
            Runs::Unread(error) => return Err(Unreadable::of_process(error)),
            Runs::Strange(why) | Runs::GoLibrary(why) => return Err(Unreadable::of(why)),
        };
        let memory = target
            .memory(proc)
            .map_err(|e| Unreadable::of_process(&e))?;
        if let Err(error) = &target.mappings {
            return Err(Unreadable::of_process(error));
        }
        let executable = Executable::open(&program.file).map_err(|e| Unreadable::of(&e))?;
        Ok(Some(Self {
            layout: own_layout(program, &executable),
            executable,
            memory,
            regions: target.regions(),
            inode: program.inode,
            process: (proc.clone(), target.pid),
        }))
    }
}

/// Of a release that is newer than the table, or was built with experiments, which may lay structs out otherwise: what its
/// debugging information says.
fn own_layout(program: &GoProgram, executable: &Executable<'_>) -> Option<Layout> {
    /// Larger ones are not read for that.
    const LARGEST: u64 = 512 << 20;
    let minor = program
        .build
        .as_ref()
        .ok()
        .and_then(gobinary::BuildInfo::minor);
    let (newest, _) = gobinary::layout::Layouts::newest(executable.arch())?;
    let build = program.build.as_ref().ok();
    let experiments = build.is_some_and(|build| build.experiments().next().is_some());
    if minor.is_some_and(|minor| minor <= newest) && !experiments {
        return None;
    }
    let size = gobinary::Source::size(&program.file)
        .ok()
        .filter(|&size| size <= LARGEST)?;
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    gobinary::Source::read_at(&program.file, 0, &mut bytes).ok()?;
    Layout::from_dwarf(&bytes).ok()
}

impl Unreadable {
    fn of(why: &dyn std::fmt::Display) -> Self {
        Self {
            why: why.to_string().into(),
            needs: "".into(),
        }
    }

    fn of_process(error: &process::Error) -> Self {
        let needs = if error.is_denied() {
            // The memory of another user's process is that user's file (`/proc/PID/mem`, mode 0600).
            lacking(&[SYS_PTRACE, READ_SEARCH]).unwrap_or_else(|| {
                "a security module (Yama, AppArmor, SELinux) that permits it".into()
            })
        } else {
            String::new()
        };
        let why = match error {
            // What it would take is said by itself.
            process::Error::Denied { path } => format!("{}: permission denied", path.display()),
            other => other.to_string(),
        };
        Self {
            why: why.into(),
            needs: needs.into(),
        }
    }
}

/// What runs a process, as far as it is read.
pub struct Go<'p> {
    version: Option<Arc<str>>,
    reads: Reads<'p>,
    libraries: &'p [Library],
    pauses: Pauses<'p>,
    /// When the first look was, and what it saw.
    first: Option<(Instant, Look)>,
    last: Option<(Instant, Look)>,
}

enum Reads<'p> {
    Heap(Box<Heap<'p>>),
    NotGo(libraries::Language),
    Unread { is_go: bool, unreadable: Unreadable },
}

impl<'p> Go<'p> {
    /// Finds the runtime, if there is one to be found.
    pub fn attach(target: &'p Target, parts: &'p Result<Option<Parts<'p>>, Unreadable>) -> Self {
        let is_go = matches!(target.runs, Runs::Go(_) | Runs::GoLibrary(_));
        let reads = match (parts, &target.runs) {
            (Ok(Some(parts)), _) => {
                let program = Program {
                    executable: &parts.executable,
                    regions: &parts.regions,
                    file: parts.inode,
                    layout: parts.layout.as_ref(),
                };
                match Heap::attach(&parts.memory, &program) {
                    Ok(heap) => Reads::Heap(Box::new(heap)),
                    Err(error) => Reads::Unread {
                        is_go,
                        unreadable: Unreadable::of(&error),
                    },
                }
            }
            (Ok(None), Runs::Other(language)) => Reads::NotGo(*language),
            (Ok(None), _) => Reads::NotGo(libraries::Language::Unknown),
            (Err(unreadable), _) => Reads::Unread {
                is_go,
                unreadable: unreadable.clone(),
            },
        };
        let version = match &target.runs {
            Runs::Go(program) => program
                .build
                .as_ref()
                .ok()
                .map(|build| build.go.as_str().into()),
            Runs::Other(_) | Runs::Unread(_) | Runs::Strange(_) | Runs::GoLibrary(_) => None,
        };
        Self {
            version,
            reads,
            libraries: &target.libraries,
            pauses: Pauses::of(parts.as_ref().ok().and_then(Option::as_ref)),
            first: None,
            last: None,
        }
    }

    /// A look that the last one is compared with.
    pub fn look_first(&mut self) {
        let at = Instant::now();
        self.pauses.look();
        if let Ok(Some(look)) = self.look() {
            self.first = Some((at, look));
        }
    }

    /// One look. `Ok(None)`: there is no runtime that could be read.
    fn look(&mut self) -> Result<Option<Look>, goheap::Error> {
        let libraries = self.libraries;
        match &mut self.reads {
            Reads::Heap(heap) => heap
                .look_with(&|name| place::bytes_wanted(name, libraries))
                .map(Some),
            Reads::NotGo(_) | Reads::Unread { .. } => Ok(None),
        }
    }

    /// Who owns each descriptor of these handles. `keep` leaves those that are still as they were: once before each
    /// look at the heap, and once after it. What is not came or went meanwhile, and is left out.
    ///
    /// That nobody owns a descriptor is said only if it had no owner in any of several looks, between which its owner had the
    /// time to be made: a library gets a descriptor, and wraps it after that.
    pub fn owners<E>(
        &mut self,
        mut handles: Vec<Handle>,
        mut keep: impl FnMut(&mut Vec<Handle>) -> Result<(), E>,
    ) -> Result<Held, E> {
        /// Looks, where descriptors have no owner.
        const LOOKS: usize = 3;
        /// From one of them to the next. Of a process that may run a tenth of the time, it has a period of the scheduler
        /// (`cpu.cfs_period_us`).
        const APART: Duration = Duration::from_millis(100);
        if !matches!(self.reads, Reads::Heap(_)) {
            return Ok(all(handles, &self.unread()));
        }
        let mut looks: Vec<Owners> = Vec::new();
        loop {
            let mut paused = false;
            if let Some((at, _)) = self.last.as_ref().filter(|_| !looks.is_empty()) {
                let (at, slice) = (*at, APART / 10);
                while at.elapsed() < APART {
                    std::thread::sleep(slice);
                    paused |= self.pauses.look();
                }
            }
            keep(&mut handles)?;
            let at = Instant::now();
            paused |= self.pauses.look();
            let look = match self.look() {
                Ok(Some(look)) => look,
                Ok(None) => return Ok(all(handles, &self.unread())),
                Err(error) => {
                    return Ok(all(handles, &Ownership::Unread(error.to_string().into())));
                }
            };
            keep(&mut handles)?;
            let marks = |objects: &[u64]| match &self.reads {
                Reads::Heap(heap) => heap.marks(objects).unwrap_or_else(|_| {
                    vec![goheap::Mark::Unread(goheap::Unread::Unmapped); objects.len()]
                }),
                Reads::NotGo(_) | Reads::Unread { .. } => vec![],
            };
            paused |= self.pauses.look();
            let paused = paused.then(|| self.pauses.why()).flatten();
            looks.push(Owners::of(&look, paused, self.libraries, &marks));
            self.last = Some((at, look));
            let owned = looks.last().is_some_and(|last| last.own_all(&handles));
            if owned || looks.len() == LOOKS {
                break;
            }
        }
        let held = handles.into_iter().map(|handle| {
            let owned = handle.fds.iter().map(|&fd| match handle.thread {
                None => owners::ownership(&looks, fd),
                Some(tid) => Ownership::Unread(
                    format!("it is in a descriptor table of thread {tid} alone, whose numbers Go's objects do not tell")
                        .into(),
                ),
            });
            (owned.collect(), handle)
        });
        Ok(held.map(|(owned, handle)| (handle, owned)).collect())
    }

    fn unread(&self) -> Ownership {
        match &self.reads {
            Reads::NotGo(_) => Ownership::NotGo,
            Reads::Unread { unreadable, .. } => Ownership::Unread(unreadable.why.clone()),
            Reads::Heap(_) => Ownership::Unread("it was not looked at".into()),
        }
    }

    /// Where wrappers of handles are allocated, as the runtime's own heap profile has it.
    pub fn profile(&mut self) -> Vec<ProfiledStack> {
        let Reads::Heap(heap) = &mut self.reads else {
            return vec![];
        };
        let Ok(Some(profile)) = heap.profile() else {
            return vec![];
        };
        let sites = profile.sites.into_iter().filter(|site| site.objects > 0);
        let stacks = sites.map(|site| {
            // The allocator's own frames tell nothing of who allocates (`runtime/pprof` leaves them out, too).
            let own = |frame: &&goheap::Frame| frame.function.starts_with("runtime.");
            let from = site.stack.iter().take_while(own).count();
            ProfiledStack {
                objects: site.objects,
                bytes: site.bytes,
                site: Site {
                    complete: true,
                    frames: queues::frames(&site.stack[from..]),
                },
            }
        });
        wrappers(stacks, self.libraries)
    }

    /// What the runtime says, in the end.
    pub fn into_runtime(self) -> Runtime {
        let version = self.version;
        match self.reads {
            Reads::NotGo(language) => Runtime::NotGo(language),
            Reads::Unread {
                is_go: true,
                unreadable,
            } => Runtime::GoUnread {
                version,
                why: unreadable.why,
                needs: unreadable.needs,
            },
            Reads::Unread { unreadable, .. } => Runtime::Unread {
                why: unreadable.why,
                needs: unreadable.needs,
            },
            Reads::Heap(heap) => {
                let (gc, queues): (Reading<Gc>, _) = if let Some((at, look)) = &self.last {
                    let first = self.first.as_ref();
                    let first = first.map(|(was, look)| ((*at - *was).as_secs_f64(), look));
                    let reason = |number| heap.reason(number).map(str::to_owned);
                    (Ok(collector(look)), Ok(queues::of(first, look, &reason)))
                } else {
                    let why: Why = "no look at it was whole".into();
                    (Err(why.clone()), Err(why))
                };
                Runtime::Go(Box::new(evidence::Go {
                    version: version.unwrap_or_else(|| heap.version().into()),
                    gc,
                    queues,
                    paused: self.pauses.why(),
                }))
            }
        }
    }
}

/// Stacks that lead through one of the libraries: where handles are wrapped.
pub fn wrappers(
    stacks: impl Iterator<Item = ProfiledStack>,
    libraries: &[Library],
) -> Vec<ProfiledStack> {
    let through = |stack: &ProfiledStack| {
        let frames = stack.site.frames.iter();
        frames.map(|frame| frame.function.as_str()).any(|function| {
            libraries.iter().any(|library| {
                let rest = function.strip_prefix(library.path.as_str());
                rest.is_some_and(|rest| rest.starts_with(['.', '/']))
            })
        })
    };
    stacks.filter(through).collect()
}

fn all(handles: Vec<Handle>, ownership: &Ownership) -> Held {
    let held = handles.into_iter().map(|handle| {
        let owned = vec![ownership.clone(); handle.fds.len()];
        (handle, owned)
    });
    held.collect()
}

/// The collector of the last look. Times of day are compared, not the monotonic clock: the process may be in a
/// time namespace of its own.
fn collector(look: &Look) -> Gc {
    let collector = &look.collector;
    let ago = collector.last_unix.map(seconds_ago);
    let forced = collector.forced.and(ago);
    Gc {
        cycles: u64::from(collector.cycles),
        last_seconds_ago: ago,
        gogc_off: collector.percent.is_none(),
        memory_limit: collector.limit,
        forced_in_seconds: forced.map(|ago| (goheap::FORCED.as_secs_f64() - ago).max(0.0)),
        marking: collector.phase != Phase::Off,
    }
}

/// Seconds since a time of day in nanoseconds since 1970.
fn seconds_ago(time: u64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    now.saturating_sub(time) as f64 / 1e9
}
