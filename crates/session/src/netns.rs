//! The ways into network namespaces: for commands that are to run there, and to look at what they
//! run by tc and routes, which takes that each is entered.

use crate::privilege::{SYS_ADMIN, SYS_PTRACE, counted, lacking};
use crate::sweep::View;
use kernel::holders::nets::Nets;
use kernel::holders::tc::{self, Tc, Wanted};
use model::{CannotSee, shell_quote};
use process::{NetNamespace, Proc};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What all namespaces in reach have.
#[derive(Debug, Default)]
pub struct AllTc {
    pub list: Vec<NetnsTc>,
}

/// What one has.
#[derive(Debug)]
pub struct NetnsTc {
    pub inode: u64,
    /// What a command begins with that is to run there; empty for our own.
    pub enter: String,
    pub tc: Tc,
}

/// What a command begins with that is to run in a network namespace, by its inode number. One that
/// no path leads to is not among them.
pub type Ways = BTreeMap<u64, String>;

/// The ways into those of the namespaces that run something without a link; a link needs none.
/// Processes are asked only if one of these is not our own.
pub fn ways(proc: &Proc, nets: &Nets) -> Ways {
    // The walk begins with ours.
    let Some(own) = nets.namespaces.first().copied() else {
        return Ways::new();
    };
    let mut elsewhere = nets.holds.iter().filter(|hold| hold.link.is_none());
    if !elsewhere.any(|hold| hold.netns != own) {
        return Ways::from([(own.into(), String::new())]);
    }
    let reach = Reach::new(proc, &nets.namespaces);
    let known = reach
        .known
        .values()
        .filter(|namespace| leads_there(namespace));
    known.map(|n| (n.inode, command_prefix(n))).collect()
}

/// Another mount may be in the place of the one that the path is of by now.
fn leads_there(namespace: &NetNamespace) -> bool {
    namespace.own
        || namespace.pid.is_some()
        || std::fs::metadata(&namespace.path).is_ok_and(|found| found.ino() == namespace.inode)
}

impl AllTc {
    pub fn is_cut(&self) -> bool {
        self.list.iter().any(|netns| netns.tc.cut)
    }
}

/// Looks at all namespaces. `nets` knows how many there are; `again` tells which there are
/// by then.
pub fn look(
    proc: &Proc,
    nets: Option<&Nets>,
    mut again: impl FnMut() -> Option<Vec<u32>>,
    wanted: Wanted,
    view: &mut View,
) -> io::Result<AllTc> {
    let mut found = AllTc::default();
    let mut looked_at: BTreeSet<u64> = BTreeSet::new();
    let mut denied = 0;
    let mut reach = Reach::new(proc, nets.map_or(&[][..], |nets| &nets.namespaces));
    for last in [false, true] {
        for (inode, namespace) in &reach.known {
            if looked_at.contains(inode) {
                continue;
            }
            match enter(namespace, wanted) {
                Ok(Some(tc)) => found.list.push(NetnsTc {
                    inode: *inode,
                    enter: command_prefix(namespace),
                    tc,
                }),
                // It went away, or its path leads elsewhere by now.
                Ok(None) => {
                    reach.missing.insert(*inode);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied += 1,
                Err(error) => return Err(error),
            }
            looked_at.insert(*inode);
        }
        if reach.missing.is_empty() {
            break;
        }
        // Those that are gone hold nothing any more; their numbers may be others' by now.
        let Some(there) = again() else { break };
        let numbers: BTreeSet<u64> = there.iter().map(|&inode| inode.into()).collect();
        reach.missing.retain(|inode| numbers.contains(inode));
        if last || reach.missing.is_empty() || reach.unreadable {
            break;
        }
        reach = Reach::new(proc, &there);
    }
    // By a process that is in it.
    let capabilities = lacking(&[SYS_ADMIN, SYS_PTRACE]);
    let capabilities = capabilities.as_deref();
    let needs = capabilities.unwrap_or("a security module that allows it");
    say(view, denied, "may not be entered", needs);
    let needs = match capabilities {
        Some(capabilities) if reach.unreadable => capabilities,
        _ if matches!(proc.in_host_pid_namespace(), Ok(false)) => "hostPID",
        _ => "a process in it, or a mount (ip netns attach NAME PID)",
    };
    say(view, reach.missing.len(), "no path leads there", needs);
    Ok(found)
}

/// Namespaces out of sight, if there are some.
fn say(view: &mut View, count: usize, why: &str, needs: &str) {
    if count == 0 {
        return;
    }
    let namespaces = counted(count, "network namespace", "network namespaces");
    let what = format!("tc filters and routes in {namespaces}");
    view.hide_programs(ledger::RUN_BY_TC, format!("{what} could not be looked at"));
    view.cannot_see.push(CannotSee {
        what,
        why: why.into(),
        needs: needs.into(),
    });
}

/// What it has; `None` if it is gone.
fn enter(namespace: &NetNamespace, wanted: Wanted) -> io::Result<Option<Tc>> {
    if namespace.own {
        return tc::dump(None, wanted).map(Some);
    }
    let file = match File::open(&namespace.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        Err(_) => return Ok(None),
    };
    if file.metadata()?.ino() != namespace.inode {
        return Ok(None);
    }
    tc::dump(Some(file.as_fd()), wanted).map(Some)
}

/// The namespaces that a path leads to.
struct Reach {
    known: BTreeMap<u64, NetNamespace>,
    /// Those that the kernel has, and no path leads to.
    missing: BTreeSet<u64>,
    /// Some processes do not say which they are in.
    unreadable: bool,
}

impl Reach {
    fn new(proc: &Proc, all: &[u32]) -> Self {
        let mut reach = Self {
            known: BTreeMap::new(),
            missing: BTreeSet::new(),
            unreadable: false,
        };
        let of_processes = proc.net_namespaces().unwrap_or_default();
        reach.unreadable = of_processes.unreadable > 0 || proc.hides_processes();
        // A mount's name is better to read than a pid, and lasts longer.
        let mounted = proc.mounted_net_namespaces(std::process::id());
        let (own, others): (Vec<_>, Vec<_>) = of_processes.list.into_iter().partition(|n| n.own);
        reach.add(own);
        if let Some(&first) = all.first().filter(|_| reach.known.is_empty()) {
            // The walk begins with ours.
            reach.add(vec![NetNamespace {
                inode: first.into(),
                path: Path::new("").into(),
                pid: None,
                own: true,
            }]);
        }
        reach.add(mounted.unwrap_or_default());
        reach.add(others);
        let all = all.iter().map(|&inode| u64::from(inode));
        reach.missing = all
            .filter(|inode| !reach.known.contains_key(inode))
            .collect();
        if !reach.missing.is_empty() {
            reach.search(proc);
        }
        reach
    }

    fn add(&mut self, namespaces: Vec<NetNamespace>) {
        for namespace in namespaces {
            self.missing.remove(&namespace.inode);
            self.known.entry(namespace.inode).or_insert(namespace);
        }
    }

    /// In other mount namespaces, where a container's runtime may have mounted them.
    fn search(&mut self, proc: &Proc) {
        let namespaces = proc.mount_namespaces().unwrap_or_default();
        for namespace in namespaces.list.into_iter().filter(|n| !n.own) {
            if self.missing.is_empty() {
                break;
            }
            let mounted = proc.mounted_net_namespaces(namespace.pid);
            self.add(mounted.unwrap_or_default());
        }
    }
}

/// What a command begins with that is to run in this namespace.
fn command_prefix(namespace: &NetNamespace) -> String {
    if namespace.own {
        return String::new();
    }
    if let Some(pid) = namespace.pid {
        return format!("nsenter -t {pid} -n ");
    }
    let folders = ["/run/netns", "/var/run/netns"].map(Path::new);
    let named = folders.iter().find_map(|folder| {
        let name = namespace.path.strip_prefix(folder).ok()?.to_str()?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    });
    if let Some(name) = named {
        return format!("ip netns exec {} ", shell_quote(name));
    }
    let path = model::decode(namespace.path.as_os_str().as_encoded_bytes());
    format!("nsenter --net={} ", shell_quote(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_into_a_namespace() {
        let prefix = |path: &str, pid, own| {
            command_prefix(&NetNamespace {
                inode: 1,
                path: path.into(),
                pid,
                own,
            })
        };
        assert_eq!(prefix("/proc/7/ns/net", Some(7), true), "");
        assert_eq!(prefix("/proc/7/ns/net", Some(7), false), "nsenter -t 7 -n ");
        assert_eq!(prefix("/run/netns/a", None, false), "ip netns exec a ");
        assert_eq!(
            prefix("/run/netns/a b", None, false),
            "ip netns exec 'a b' "
        );
        assert_eq!(
            prefix("/run/docker/netns/1", None, false),
            "nsenter --net=/run/docker/netns/1 "
        );
    }
}
