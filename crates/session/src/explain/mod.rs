//! Why a process still holds its handles: brings together what the kernel counts, what grows, what the
//! process runs and what its Go runtime says of who owns each descriptor.
//!
//! ```text
//! Target  executable, libraries, mappings
//! Looks   sweeps: handles, accounts, growth ──┐
//! Owners  goheap: specials, marks, queues ────┴─► Evidence ─► explain::report
//! ```
//!
//! Nothing of it stops, signals or writes to the process.

mod go;
mod kin;
mod looks;
mod name;
mod plain;
mod profile;
mod recorded;
mod sight;
mod target;

pub use explain::evidence::ProfiledStack;
pub use name::PidError;
pub use profile::GivenProfile;
pub use recorded::RecordedSweeps;
pub(crate) use target::inode;

use crate::handles::Handle;
use crate::{Error, Sweeper, WatchOptions};
use explain::Evidence;
use explain::evidence::{self, Descriptor, Growth, Memory, Ownership, Why};
use go::{Go, Parts};
use kin::Kin;
use looks::Looks;
use model::{CannotSee, ExplainReport, Object, ObjectId};
use process::Proc;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use target::{Now, Target};

/// How to look.
#[derive(Debug, Default)]
pub struct ExplainOptions {
    /// For how long. Zero is one look: nothing is known of growth then, nor whether a queue moves.
    pub duration: Duration,
    /// Growth is taken from what a watch recorded instead.
    pub recording: Option<RecordedSweeps>,
    /// Where its Go heap allocates, from a profile that somebody took. Without it, from the runtime's own books.
    pub profile: Option<GivenProfile>,
}

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No such process, or several.
    #[error(transparent)]
    Pid(#[from] PidError),
    /// It was there, and is not any more.
    #[error("process {pid} ended while it was looked at")]
    Ended {
        /// Which one.
        pid: u32,
    },
    /// It called exec: what was read of it is no more.
    #[error("process {pid} became another program while it was looked at; look again")]
    Became {
        /// Which one.
        pid: u32,
    },
    /// The heap profile that was given is of another program.
    #[error("the heap profile is not of process {pid}: {why}; take one of it, or leave it out")]
    OtherProfile {
        /// Which process.
        pid: u32,
        /// What tells.
        why: String,
    },
    /// What there is to know of it before any look.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Its descriptors could not be listed at all.
    #[error(transparent)]
    Sweep(#[from] Error),
}

/// A part of the work that is done, in this order, [`Self::Interrupted`] and [`Self::Relisted`] by turns: for whoever measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The kernel's walks are loaded.
    Loaded,
    /// The process is described: its executable, mappings, libraries.
    Described,
    /// The accounts are settled. In one look, the memory of the process was not opened yet.
    Counted,
    /// Its memory is open, and its runtime found. In more than one look, that is before [`Self::Counted`].
    Found,
    /// The kernel is about to list the descriptors once more, before and after its memory is read.
    Interrupted,
    /// It has.
    Relisted,
    /// The owners of its descriptors are known.
    Owned,
    /// Verdicts are said.
    Judged,
}

/// What was said of a process.
#[derive(Debug)]
pub struct Explained {
    /// The report.
    pub report: ExplainReport,
    /// What it was made from.
    pub rest: Rest,
}

/// What a report was made from: of no use any more. Of thousands of objects it takes a twelfth of the whole work to give its
/// memory back piece by piece; whoever ends soon leaves that to the kernel ([`std::mem::forget`]).
#[derive(Debug, Default)]
pub struct Rest {
    _looked: Option<(Sweeper, Looks)>,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks at a process, and says why it holds what it holds. `pid` is one here, or, if only one process has it
/// there, in its own pid namespace.
///
/// # Errors
/// There is no such process, it ended meanwhile, or its descriptors cannot be listed.
pub fn explain(pid: u32, options: ExplainOptions) -> Result<Explained, ExplainError> {
    explain_in_steps(pid, options, &mut |_| {})
}

/// The same; `done` hears of each step. It hears of none if the walks cannot be loaded.
///
/// # Errors
/// See [`explain`].
pub fn explain_in_steps(
    pid: u32,
    options: ExplainOptions,
    done: &mut dyn FnMut(Step),
) -> Result<Explained, ExplainError> {
    let mut sweeper = match Sweeper::new() {
        Ok(sweeper) => sweeper,
        // What `/proc` shows of a process is less, and better than nothing.
        Err(error) => {
            let rest = Rest::default();
            let report = plain::explain(&Proc::new(), pid, options, error)?;
            return Ok(Explained { report, rest });
        }
    };
    done(Step::Loaded);
    let proc = sweeper.proc().clone();
    let pid = name::find(&proc, pid)?;
    let target = Target::of(&proc, pid)?;
    let profile = compared(options.profile, &proc, &target)?;
    done(Step::Described);
    let begun = Instant::now();
    let window = WatchOptions::default().window.as_secs_f64();
    let mut looks = Looks::new(&mut sweeper, &target, window);
    let one = options.duration.is_zero();
    if one {
        looks.only(&mut sweeper)?;
        done(Step::Counted);
    }
    let parts = Parts::open(&proc, &target);
    let mut go = Go::attach(&target, &parts);
    done(Step::Found);
    // One look tells no growth.
    let before = (!one).then(|| proc.anonymous_memory(pid).ok()).flatten();
    if !one {
        go.look_first();
        loop {
            let at = Instant::now();
            looks.look(&mut sweeper, false)?;
            // On a host where a look takes long, looks keep to a tenth of a processor, if there are enough of them.
            let enough = (options.duration / 8).max(PAUSE);
            let pause = (at.elapsed() * 9).clamp(PAUSE, enough);
            let left = options.duration.saturating_sub(begun.elapsed());
            std::thread::sleep(left.min(pause));
            // The last look has its own time.
            if left <= pause {
                break;
            }
        }
        looks.look(&mut sweeper, true)?;
        done(Step::Counted);
    }
    let mut handles = looks.take_handles();
    if pid == std::process::id() {
        leave_out_own(&mut handles, looks.objects());
    }
    let all = handles.len();
    let mut cannot_see = looks.cannot_see(&handles);
    let mut listed_again = false;
    let mut held = go.owners(handles, |handles| {
        done(Step::Interrupted);
        let kept = sweeper.keep_same(pid, handles);
        listed_again = true;
        done(Step::Relisted);
        kept
    })?;
    if listed_again {
        done(Step::Interrupted);
        let gone = sweeper.gone(held.iter().map(|(handle, _)| handle))?;
        held.retain(|(handle, _)| !gone.contains(&handle.object));
        done(Step::Relisted);
    }
    let moved = all.saturating_sub(held.len());
    if moved > 0 {
        cannot_see.push(CannotSee {
            what: format!("{moved} of its handles"),
            why: "they came, went or were duplicated while their owners were looked for".into(),
            needs: "another look".into(),
        });
    }
    done(Step::Owned);
    let growth = match &options.recording {
        Some(recording) => recorded::growth(recording, &proc, &target, &mut cannot_see),
        None => looks.growth(&sweeper),
    };
    let memory = proc.anonymous_memory(pid).ok().map(|now| {
        let grown = before.map(|before| now.cast_signed() - before.cast_signed());
        (now, grown, begun.elapsed().as_secs_f64())
    });
    let case = Case {
        accounts: looks.objects(),
        described: described(looks.objects()),
        growth,
        memory,
        cannot_see,
        profile,
    };
    stayed(&proc, &target)?;
    let report = case.report(&proc, &target, held, go);
    done(Step::Judged);
    let rest = Rest {
        _looked: Some((sweeper, looks)),
    };
    Ok(Explained { report, rest })
}

/// All that was read is of one process, and of one program.
fn stayed(proc: &Proc, target: &Target) -> Result<(), ExplainError> {
    let pid = target.pid;
    match target.now(proc) {
        Now::Same => Ok(()),
        Now::Another => Err(ExplainError::Became { pid }),
        Now::Ended => Err(ExplainError::Ended { pid }),
    }
}

/// Of what this very program holds, what it made in order to look is no answer: also what it made since the look.
fn leave_out_own(handles: &mut Vec<Handle>, objects: &[Object]) {
    let others = objects.iter().filter(|object| !object.facts.own);
    let others: FxHashSet<ObjectId> = others
        .filter_map(|object| object.facts.object_id())
        .collect();
    handles.retain(|handle| !handle.iterator && others.contains(&handle.object));
}

/// Handles, and of each descriptor who owns it.
type Held = Vec<(Handle, Vec<Ownership>)>;

/// What was measured, but for the handles and who owns them.
struct Case<'a> {
    accounts: &'a [Object],
    described: FxHashMap<ObjectId, Described>,
    growth: Vec<Growth>,
    /// Anonymous memory now, how much more than at the first look, and seconds since.
    memory: Option<(u64, Option<i64>, f64)>,
    cannot_see: Vec<CannotSee>,
    profile: Option<Compared>,
}

/// A heap profile that was given, and what is to be said of it.
type Compared = (Vec<ProfiledStack>, Vec<Why>);

fn compared(
    given: Option<GivenProfile>,
    proc: &Proc,
    target: &Target,
) -> Result<Option<Compared>, ExplainError> {
    let Some(given) = given else {
        return Ok(None);
    };
    let says = profile::compare(&given, proc, target)?;
    Ok(Some((given.stacks, says)))
}

/// What an object is called.
#[derive(Debug, Clone)]
struct Described {
    name: Arc<str>,
    type_name: Arc<str>,
}

fn described(objects: &[Object]) -> FxHashMap<ObjectId, Described> {
    // Many are called the same.
    let mut words: FxHashMap<&str, Arc<str>> = FxHashMap::default();
    let mut word = |text| Arc::clone(words.entry(text).or_insert_with(|| Arc::from(text)));
    let all = objects.iter().filter_map(|object| {
        let facts = &object.facts;
        let described = Described {
            name: word(facts.name.as_str()),
            type_name: word(facts.type_name.as_str()),
        };
        Some((facts.object_id()?, described))
    });
    all.collect()
}

impl Case<'_> {
    fn report(self, proc: &Proc, target: &Target, held: Held, mut go: Go<'_>) -> ExplainReport {
        let mut kin = Kin::new(proc, target.pid);
        let handles = held.into_iter().map(|(handle, owned)| {
            let described = self.described.get(&handle.object).cloned();
            let Described { name, type_name } = described.unwrap_or_else(|| Described {
                name: "".into(),
                type_name: "?".into(),
            });
            let mapped = handle.fds.is_empty();
            let (origin, shared_with) = kin.came(&handle);
            let descriptors = handle.fds.iter().zip(owned);
            evidence::Handle {
                kind: handle.object.kind,
                id: Some(handle.object.id),
                name,
                type_name,
                descriptors: descriptors
                    .map(|(&fd, ownership)| Descriptor { fd, ownership })
                    .collect(),
                mapped,
                origin,
                shared_with,
                site: None,
            }
        });
        let handles = handles.collect();
        let (mappings, mapped_bytes) = target.mapped_maps();
        let memory = self.memory.map(|(now, grown, seconds)| Memory {
            anonymous_bytes: now,
            anonymous_growth: grown,
            seconds,
            mappings,
            mapped_bytes,
        });
        let (profile, profile_says) = match self.profile {
            Some((given, says)) => (go::wrappers(given.into_iter(), &target.libraries), says),
            None => (go.profile(), vec![]),
        };
        explain::report(&Evidence {
            process: evidence::Process {
                pid: target.pid,
                comm: target.comm.as_str().into(),
                exe: target.exe.as_deref().map(Arc::from),
                libraries: target.libraries.clone(),
                runtime: go.into_runtime(),
            },
            handles,
            accounts: self.accounts,
            growth: self.growth,
            memory,
            profile,
            profile_says,
            cannot_see: self.cannot_see,
        })
    }
}
