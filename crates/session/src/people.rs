//! Processes as holders: each is described once in a sweep.

use crate::privilege::{READ_SEARCH, SYS_PTRACE, counted, lacking, lives, may_look_at_all};
use crate::unique::unique;
use kernel::holders::files::Table;
use model::{CannotSee, Holder, Kind, Process};
use process::{FdObject, FdStores, Keeper, Proc};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// Descriptions of processes, kept for the length of a sweep.
pub struct People<'a> {
    proc: &'a Proc,
    known: FxHashMap<u32, Process>,
    /// Processes whose executable could not be read.
    hidden: usize,
    /// Processes that live, but that `/proc` does not show to us (`hidepid`).
    invisible: usize,
    /// Containers whose names could not be read.
    nameless: BTreeSet<String>,
    /// `/proc` could not be read at all.
    no_proc: bool,
    /// What systemd keeps for its units; asked for only where it holds something.
    stores: Option<Result<Arc<FdStores>, process::Error>>,
    /// Kinds of objects that it may keep for one of several.
    among: BTreeSet<Kind>,
}

impl<'a> People<'a> {
    pub fn new(proc: &'a Proc) -> Self {
        Self {
            proc,
            known: FxHashMap::default(),
            hidden: 0,
            invisible: 0,
            nameless: BTreeSet::new(),
            no_proc: false,
            stores: None,
            among: BTreeSet::new(),
        }
    }

    /// A process with the descriptors it has on one object. One that is gone
    /// meanwhile has a pid only: the account that it stands in will not settle.
    pub fn holder(&mut self, pid: u32, tid: Option<u32>, mut fds: Vec<u32>) -> Holder {
        unique(&mut fds);
        if !self.known.contains_key(&pid) {
            let described = self.proc.describe(pid);
            self.note(pid, described);
        }
        let known = self.known.get(&pid).cloned();
        let mut process = Process {
            tid,
            fds,
            ..known.unwrap_or_default()
        };
        if pid == 1 && &*process.comm == "systemd" {
            self.name_keeper(&mut process);
        }
        Holder::Process(Box::new(process))
    }

    /// Describes many processes: some 25 µs each, nearly all of it in the kernel, so in several threads.
    pub fn meet(&mut self, pids: impl Iterator<Item = u32>) {
        /// Fewer are not worth a thread.
        const EACH: usize = 128;
        const THREADS: usize = 8;
        let strange: FxHashSet<u32> = pids.filter(|pid| !self.known.contains_key(pid)).collect();
        let strange: Vec<u32> = strange.into_iter().collect();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (strange.len() / EACH).min(processors).min(THREADS);
        if threads < 2 {
            // One at a time, when they are asked for.
            return;
        }
        let proc = self.proc;
        let described: Vec<_> = std::thread::scope(|scope| {
            let describe = |part: &'_ [u32]| {
                let part = part.iter();
                part.map(|&pid| (pid, proc.describe(pid)))
                    .collect::<Vec<_>>()
            };
            let parts = strange.chunks(strange.len().div_ceil(threads));
            // Where no thread can be made, they are described one at a time.
            let started: Vec<_> = parts
                .filter_map(|part| {
                    let builder = std::thread::Builder::new().name("describe".into());
                    builder.spawn_scoped(scope, move || describe(part)).ok()
                })
                .collect();
            let joined = started.into_iter().filter_map(|thread| thread.join().ok());
            joined.flatten().collect()
        });
        for (pid, process) in described {
            self.note(pid, process);
        }
    }

    fn note(&mut self, pid: u32, described: Result<Process, process::Error>) {
        match &described {
            Err(process::Error::NotMounted { .. }) => self.no_proc = true,
            Err(error) if error.is_gone() && lives(pid) => self.invisible += 1,
            _ => {}
        }
        let process = described.unwrap_or_else(|_| Process {
            pid,
            ..Process::default()
        });
        self.hidden += usize::from(process.exe.is_none() && process.start_ticks.is_some());
        if let Some(container) = &process.container
            && container.name.is_none()
            && container.pod.is_none()
        {
            self.nameless.insert(container.id.clone());
        }
        self.known.insert(pid, process);
    }

    /// Names the unit for which systemd keeps descriptors on an object.
    fn name_keeper(&mut self, systemd: &mut Process) {
        let Some(&fd) = systemd.fds.first() else {
            return;
        };
        let kind = match self.kind(fd) {
            Ok(Some(kind)) => kind,
            Ok(None) => return,
            Err(error) => {
                if !error.is_gone() {
                    self.stores.get_or_insert(Err(error));
                }
                return;
            }
        };
        let stores = self.stores.get_or_insert_with(|| self.proc.fd_stores());
        match stores.as_ref().map(|stores| stores.keeper(kind)) {
            Ok(Keeper::Unit(unit)) => systemd.unit = Some(unit.into()),
            Ok(Keeper::Among(_)) => drop(self.among.insert(kind)),
            Ok(Keeper::Itself) | Err(_) => {}
        }
    }

    /// What a descriptor of pid 1 is on.
    fn kind(&self, fd: u32) -> Result<Option<Kind>, process::Error> {
        Ok(match self.proc.fdinfo(1, fd)?.object {
            FdObject::Map(_) => Some(Kind::Map),
            FdObject::Prog(_) => Some(Kind::Prog),
            FdObject::Link(_) => Some(Kind::Link),
            FdObject::Btf(_) => Some(Kind::Btf),
            FdObject::Other(_) => None,
        })
    }

    /// The processes that have a descriptor table, with these descriptors on one object.
    pub fn of_table(&mut self, table: &Table, fds: &[u32]) -> Vec<Holder> {
        let also = table.also.iter().map(|&pid| (pid, None));
        let all = also.chain([(table.pid, table.tid)]);
        all.map(|(pid, tid)| self.holder(pid, tid, fds.to_vec()))
            .collect()
    }

    /// What the descriptions lack, and what they would need.
    pub fn cannot_see(&self, into: &mut Vec<CannotSee>) {
        if self.no_proc {
            into.push(CannotSee {
                what: "names, executables, cgroups and containers of processes".into(),
                why: "no proc file system at /proc".into(),
                needs: "mount -t proc proc /proc".into(),
            });
        }
        if self.invisible > 0 {
            let processes = counted(self.invisible, "process", "processes");
            into.push(CannotSee {
                what: format!("names, executables, cgroups and containers of {processes}"),
                why: "/proc does not show them (mounted with hidepid)".into(),
                needs: "CAP_SYS_PTRACE".into(),
            });
        }
        if self.hidden > 0 && !may_look_at_all() {
            let processes = counted(self.hidden, "process", "processes");
            into.push(CannotSee {
                what: format!("executables of {processes}"),
                why: "/proc/PID/exe may not be read".into(),
                needs: "CAP_SYS_PTRACE".into(),
            });
        }
        self.cannot_tell_cgroups(into);
        self.cannot_name_containers(into);
        self.cannot_tell_units(into);
    }

    /// `/proc/PID/cgroup` begins at the root of the reader's cgroup namespace
    /// (`proc_cgroup_show`), what the walks tell at the hierarchy's.
    fn cannot_tell_cgroups(&self, into: &mut Vec<CannotSee>) {
        let mut told = self.known.values().filter(|p| p.cgroup.is_some());
        if told.next().is_some() && matches!(self.proc.in_host_cgroup_namespace(), Ok(false)) {
            into.push(CannotSee {
                what: "whole paths of the cgroups of processes".into(),
                why:
                    "lastref runs in a cgroup namespace of its own, and /proc tells them from its \
                      root on; attached programs and charged memory have whole ones"
                        .into(),
                needs: "the initial cgroup namespace (nsenter -C)".into(),
            });
        }
    }

    /// Names of containers and pods are in files of root's, which are reached through pid 1.
    fn cannot_name_containers(&self, into: &mut Vec<CannotSee>) {
        let Some(needs) = lacking(&[SYS_PTRACE, READ_SEARCH]) else {
            return;
        };
        if !self.nameless.is_empty() {
            let containers = counted(self.nameless.len(), "container", "containers");
            into.push(CannotSee {
                what: format!("names and pods of {containers}"),
                why: "the files of their runtimes may not be read".into(),
                needs,
            });
        }
    }

    /// For which units systemd keeps descriptors, where that is not known.
    fn cannot_tell_units(&self, into: &mut Vec<CannotSee>) {
        match &self.stores {
            Some(Err(error)) => into.push(CannotSee {
                what: "for which units systemd (pid 1) keeps descriptors on BPF objects".into(),
                why: error.to_string(),
                needs: "root, CAP_SYS_PTRACE, and the host's pid namespace and root directory"
                    .into(),
            }),
            Some(Ok(stores)) => {
                for &kind in &self.among {
                    if let Keeper::Among(units) = stores.keeper(kind) {
                        into.push(not_told(kind, &units));
                    }
                }
            }
            None => {}
        }
    }
}

/// systemd keeps objects for one of these units, or for itself.
fn not_told(kind: Kind, units: &[&process::fdstore::Store]) -> CannotSee {
    /// More would fill a screen.
    const NAMED: usize = 8;
    let old = units.iter().any(|store| store.objects.is_none());
    let mut names: Vec<&str> = units.iter().map(|store| &*store.unit).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let mut names = names.join(", ");
    if more > 0 {
        let _ = write!(names, " and {more} more");
    }
    let (why, needs) = if old {
        (
            "this systemd does not tell what is in them",
            "systemd ≥ 254",
        )
    } else {
        (
            "it has others of that kind too, and tells no ids",
            "only one unit with such descriptors, and none of systemd's own",
        )
    };
    CannotSee {
        what: format!("for which unit systemd (pid 1) keeps a {kind}"),
        why: format!("it may be in the fd store of {names}: {why}"),
        needs: needs.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use process::fdstore::Store;

    #[test]
    fn candidates_in_words() {
        let stores: Vec<Store> = (1..=10)
            .map(|n| Store {
                unit: format!("u{n}.service"),
                objects: Some(vec![Kind::Map]),
            })
            .collect();
        let two = not_told(Kind::Map, &[&stores[0], &stores[1]]);
        assert_eq!(two.what, "for which unit systemd (pid 1) keeps a map");
        let expected = "it may be in the fd store of u1.service, u2.service: it has others of that kind too, and tells no ids";
        assert_eq!(two.why, expected);
        let all: Vec<&Store> = stores.iter().collect();
        assert!(
            not_told(Kind::Map, &all)
                .why
                .contains("u8.service and 2 more:")
        );
        let old = Store {
            unit: "a.service".into(),
            objects: None,
        };
        assert_eq!(not_told(Kind::Prog, &[&old]).needs, "systemd ≥ 254");
    }
}
