//! What descriptions of processes lack, and what they would need.

use super::{Known, People};
use crate::privilege::{READ_SEARCH, SYS_PTRACE, counted, lacking, may_look_at_all};
use model::{CannotSee, Kind};
use process::Keeper;
use rustc_hash::FxHashSet;
use std::fmt::Write as _;

impl People<'_> {
    /// What the descriptions lack, and what they would need.
    pub fn cannot_see(&self, into: &mut Vec<CannotSee>) {
        if self.no_proc {
            into.push(CannotSee {
                what: "names, executables, cgroups and containers of processes".into(),
                why: "no proc file system at /proc".into(),
                needs: "mount -t proc proc /proc".into(),
            });
        }
        let invisible = self.count(|known| known.invisible);
        if invisible > 0 {
            let processes = counted(invisible, "process", "processes");
            into.push(CannotSee {
                what: format!("names, executables, cgroups and containers of {processes}"),
                why: "/proc does not show them (mounted with hidepid)".into(),
                needs: "CAP_SYS_PTRACE".into(),
            });
        }
        // Those whose executable could not be read.
        let hidden = self
            .count(|Known { process, .. }| process.exe.is_none() && process.start_ticks.is_some());
        if hidden > 0 && !may_look_at_all() {
            let processes = counted(hidden, "process", "processes");
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
        let told = self.count(|known| known.process.cgroup.is_some());
        if told > 0 && matches!(self.proc.in_host_cgroup_namespace(), Ok(false)) {
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
        let met = self.known.values().filter(|known| known.met);
        let met = met.filter_map(|known| known.process.container.as_deref());
        let nameless = met.filter(|container| container.name.is_none() && container.pod.is_none());
        let nameless: FxHashSet<&str> = nameless.map(|container| &*container.id).collect();
        if !nameless.is_empty() {
            let containers = counted(nameless.len(), "container", "containers");
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
