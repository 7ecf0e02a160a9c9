//! Which references belong together, without what is different each time.

use model::{
    By, Created, Facts, Holder, Kind, Object, ObjectGroup, Process, Scope, SeriesSample, State,
    SweepSample, fold_digits, fold_paths,
};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Ids that are told of a series.
const IDS: usize = 16;

/// What makes references one series. Never the id of an object that is held: the commonest leak
/// makes a new one each time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    holder: Site,
    /// How they are held.
    pub by: By,
    /// Of the objects.
    pub kind: Kind,
    /// Of the objects, with `*` for digits: `flow_17` and `flow_18` are one.
    pub name: Arc<str>,
    /// Of the objects.
    pub type_name: Arc<str>,
}

/// A holder, as far as it is the same from sweep to sweep.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Site {
    /// Pid, start time, and the thread with a table of its own.
    Process(u32, Option<u64>, Option<u32>),
    /// All processes of one executable, and of names that differ in digits only, together: each may
    /// have one handle, and be one more.
    Program(Arc<str>, Option<Arc<str>>),
    /// All pins, at so many folders' depth.
    Pins(usize),
    /// One object: what stands in its slots, or uses it.
    Object(Kind, Option<u32>),
    /// Something in the kernel, in words without digits, with the names of who has it open: one
    /// worker more is no other holder.
    Kernel(String, Vec<Arc<str>>),
}

impl Key {
    pub fn scope(&self) -> Scope {
        match self.holder {
            Site::Process(..) => Scope::Process,
            Site::Program(..) => Scope::Program,
            Site::Pins(_) | Site::Object(..) | Site::Kernel(..) => Scope::Other,
        }
    }

    /// The name of all processes of a program.
    fn program(&self) -> Option<&str> {
        match &self.holder {
            Site::Program(comm, _) => Some(comm),
            _ => None,
        }
    }
}

/// What a series has in one sweep.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// References.
    pub handles: u64,
    /// Descriptors.
    pub fds: u64,
    /// Kernel memory of the objects, each once.
    pub memory_bytes: u64,
    /// The memory cgroup that is charged for the newest of them.
    pub charged_to: Option<String>,
    /// Object id, and descriptor or 0.
    places: Vec<(u32, u32)>,
    ids: BTreeSet<u32>,
    paths: Vec<String>,
    processes: BTreeSet<u32>,
    holder: Option<Holder>,
    /// Of the first of them.
    name: Option<Arc<str>>,
    /// They have not all that name.
    names_differ: bool,
}

impl Members {
    /// How many handles came and went since: at least. A descriptor that is new may be a dup, or
    /// moved; a handle more, or one on an object that was not there, has been acquired.
    fn against(&self, before: &Self) -> (u64, u64) {
        let new = self.ids.difference(&before.ids).count() as u64;
        let gone = before.ids.difference(&self.ids).count() as u64;
        let more = self.handles.saturating_sub(before.handles);
        let less = before.handles.saturating_sub(self.handles);
        (new.max(more), gone.max(less))
    }

    /// It is not what it was.
    fn differs(&self, before: &Self) -> bool {
        (self.handles, self.fds) != (before.handles, before.fds) || self.places != before.places
    }

    fn is_empty(&self) -> bool {
        self.handles == 0 && self.fds == 0
    }

    /// What is told of it. `None` if there is nobody to tell of.
    pub fn sample(&self, number: u32, key: &Key, came: u64, went: u64) -> Option<SeriesSample> {
        Some(SeriesSample {
            series: number,
            scope: key.scope(),
            by: key.by,
            holder: self.holder.clone()?,
            holders: (self.processes.len().max(self.paths.len()) as u64).max(1),
            pattern: self.pattern(key.program()),
            objects: ObjectGroup {
                kind: key.kind,
                name: match &self.name {
                    Some(name) if !self.names_differ => name.to_string(),
                    _ => key.name.to_string(),
                },
                type_name: key.type_name.to_string(),
                count: self.ids.len() as u64,
                ids: self.ids.iter().rev().take(IDS).copied().collect(),
            },
            handles: self.handles,
            fds: self.fds,
            came,
            went,
            memory_bytes: self.memory_bytes,
            charged_to: self.charged_to.clone(),
        })
    }

    /// What the paths of pins have in common, or the names of a program's processes.
    fn pattern(&self, program: Option<&str>) -> Option<String> {
        if let Some(comm) = program {
            return comm.contains('*').then(|| comm.to_owned());
        }
        let paths: Vec<&str> = self.paths.iter().map(String::as_str).collect();
        let mut patterns = fold_paths(&paths);
        patterns.sort_unstable();
        // The commonest: others are of pins that do not grow.
        let runs = patterns.chunk_by(|a, b| a == b);
        let largest = runs.max_by_key(|run| run.len())?;
        largest.first().filter(|p| p.contains('*')).cloned()
    }
}

/// Names that differ in digits only are one.
pub(super) fn folded(name: &str) -> Arc<str> {
    fold_digits(name).into()
}

/// For so many seconds a series that has nothing is remembered: what falls to nothing and grows again
/// is the same.
pub(super) const REMEMBERED: f64 = 600.0;

/// A series, between two sweeps.
#[derive(Debug)]
struct Known {
    number: u32,
    members: Members,
    /// When it was last seen to have something.
    seen: f64,
}

/// Compares each sweep with the one before.
#[derive(Debug, Default)]
pub struct Samples {
    series: FxHashMap<Key, Known>,
    /// Series so far.
    numbers: u32,
    /// The highest id of each kind that was ever seen, and how many were handed out since the first
    /// sweep.
    highest: FxHashMap<Kind, (u32, u64)>,
}

/// Of whose references a watch tells.
pub type Wanted<'a> = &'a dyn Fn(&Object, &Holder) -> bool;

impl Samples {
    /// What this sweep found, `t` seconds after the watch began, as far as it is new. Of references
    /// that are not `wanted` nothing is told.
    pub fn take(&mut self, t: f64, objects: &[Object], wanted: Wanted<'_>) -> SweepSample {
        self.count_ids(objects);
        let mut sample = SweepSample {
            t,
            created: self.created(),
            ..SweepSample::default()
        };
        let mut found = members(objects, wanted);
        // One process is told of as itself, unless there were several.
        found.retain(|key, members| {
            let several = members.processes.len() > 1 || self.series.contains_key(key);
            key.scope() != Scope::Program || several
        });
        for (key, known) in &mut self.series {
            if !found.contains_key(key) && !std::mem::take(&mut known.members).is_empty() {
                sample.gone.push(known.number);
            }
        }
        sample.gone.sort_unstable();
        self.series
            .retain(|_, known| !known.members.is_empty() || t - known.seen < REMEMBERED);
        for (key, mut members) in found {
            members.places.sort_unstable();
            let known = self.series.entry(key.clone()).or_insert_with(|| {
                self.numbers += 1;
                Known {
                    number: self.numbers,
                    members: Members::default(),
                    seen: t,
                }
            });
            if members.differs(&known.members) {
                let (came, went) = members.against(&known.members);
                let told = members.sample(known.number, &key, came, went);
                sample.series.extend(told);
            }
            known.members = members;
            known.seen = t;
        }
        sample.series.sort_unstable_by_key(|series| series.series);
        sample
    }

    fn created(&self) -> Created {
        let of = |kind| self.highest.get(&kind).map_or(0, |(_, created)| *created);
        Created {
            map: of(Kind::Map),
            prog: of(Kind::Prog),
            link: of(Kind::Link),
        }
    }

    /// Ids are handed out in order (`idr_alloc_cyclic`): what lies between the highest of two sweeps
    /// was made meanwhile, though it may be gone. Ours does not count.
    fn count_ids(&mut self, objects: &[Object]) {
        for kind in [Kind::Map, Kind::Prog, Kind::Link] {
            let ids = || {
                let all = objects.iter().filter(|o| o.facts.kind == kind);
                all.filter_map(|o| Some((o.facts.id?, o.facts.own)))
            };
            let Some(highest) = ids().map(|(id, _)| id).max() else {
                continue;
            };
            let seen = self.highest.entry(kind).or_insert((highest, 0));
            let ours = ids().filter(|(id, own)| *own && *id > seen.0).count() as u64;
            let new = u64::from(highest.saturating_sub(seen.0)).saturating_sub(ours);
            // The newest may be gone, or numbering have begun anew: then nothing is known of those
            // below the highest.
            *seen = (highest.max(seen.0), seen.1 + new);
        }
    }
}

/// All series of a sweep.
fn members(objects: &[Object], wanted: Wanted<'_>) -> FxHashMap<Key, Members> {
    let mut found: FxHashMap<Key, Members> = FxHashMap::default();
    let counts =
        |o: &&Object| !o.facts.own && !o.facts.is_kernel_btf() && o.state != State::Unreferenced;
    for object in objects.iter().filter(counts) {
        let facts = &object.facts;
        let (name, type_name): (_, Arc<str>) =
            (folded(&facts.name), facts.type_name.as_str().into());
        for reference in &facts.references {
            // A group of holders that share the reference has it once.
            let mut once: Vec<Site> = Vec::new();
            for holder in reference.holders.iter().filter(|h| wanted(object, h)) {
                for site in sites(holder) {
                    let key = Key {
                        holder: site,
                        by: reference.by,
                        kind: facts.kind,
                        name: name.clone(),
                        type_name: type_name.clone(),
                    };
                    let first = !once.contains(&key.holder);
                    if first {
                        once.push(key.holder.clone());
                    }
                    let shared = matches!(key.holder, Site::Program(..));
                    let members = found.entry(key).or_default();
                    if first {
                        members.handles += reference.count;
                    }
                    members.add(facts, holder, shared);
                }
            }
        }
    }
    found
}

impl Members {
    fn add(&mut self, facts: &Facts, holder: &Holder, program: bool) {
        let name = self.name.get_or_insert_with(|| facts.name.as_str().into());
        self.names_differ |= **name != *facts.name;
        let id = facts.id.unwrap_or_default();
        if self.ids.insert(id) {
            let bytes = facts.memory_bytes.unwrap_or_default();
            self.memory_bytes = self.memory_bytes.saturating_add(bytes);
            if self.ids.last() == Some(&id) {
                self.charged_to.clone_from(&facts.charged_to);
            }
        }
        match holder {
            Holder::Process(process) => {
                self.processes.insert(process.pid);
                // Of a program handles count: workers that share one have a descriptor each.
                if program {
                    self.places.push((id, process.pid));
                } else {
                    self.fds += process.fds.len() as u64;
                    self.places.extend(process.fds.iter().map(|&fd| (id, fd)));
                }
            }
            Holder::Pin(pin) => {
                self.paths.push(pin.path.clone());
                self.places.push((id, 0));
            }
            _ => self.places.push((id, 0)),
        }
        if self.holder.is_none() {
            self.holder = Some(without_fds(holder));
        }
    }
}

/// Descriptors are counted, not listed.
fn without_fds(holder: &Holder) -> Holder {
    match holder {
        Holder::Process(process) => Holder::Process(Box::new(Process {
            fds: vec![],
            ..Process::clone(process)
        })),
        other => other.clone(),
    }
}

fn sites(holder: &Holder) -> Vec<Site> {
    let kernel = |words: &str| {
        let mut open_by: Vec<Arc<str>> = holder.open_by().iter().map(|p| folded(&p.comm)).collect();
        open_by.sort_unstable();
        open_by.dedup();
        vec![Site::Kernel(folded(words).to_string(), open_by)]
    };
    match holder {
        Holder::Process(p) => vec![
            Site::Process(p.pid, p.start_ticks, p.tid),
            Site::Program(folded(&p.comm), p.exe.clone()),
        ],
        Holder::Pin(pin) => vec![Site::Pins(pin.path.matches('/').count())],
        Holder::Map(o) => vec![Site::Object(Kind::Map, o.id)],
        Holder::Prog(o) => vec![Site::Object(Kind::Prog, o.id)],
        Holder::Link(o) => vec![Site::Object(Kind::Link, o.id)],
        Holder::Btf(o) => vec![Site::Object(Kind::Btf, o.id)],
        Holder::Attachment(a) => {
            let at = a.attach_type.as_deref().unwrap_or_default();
            let target = if a.open_by.is_empty() { &*a.target } else { "" };
            kernel(&format!("{at} {target}"))
        }
        Holder::Socket(s) => kernel(s.family.as_deref().unwrap_or("socket")),
        Holder::IoUring(_) => kernel("io_uring"),
        Holder::Module { name } => kernel(name),
        Holder::Kernel { what } => kernel(what),
    }
}
