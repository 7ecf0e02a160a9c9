//! The fd stores of systemd's units: descriptors that a service hands to pid 1 to
//! get them back after a restart (`sd_pid_notify_with_fds`, `FDSTORE=1`).
//!
//! The kernel sees them in pid 1's table, where also those stand that systemd
//! opened for itself (device and address filters are BPF programs). Nobody but
//! systemd knows which unit one is kept for, and what it tells (since version
//! 254, `DumpUnitFileDescriptorStore`) is, for each unit, a list of names with
//! what `fstat`, `readlink` and `F_GETFL` say: for BPF objects that is only their
//! kind, as all share one inode. So a unit is named only where counting leaves no
//! other: it alone has descriptors of the kind in its store, and as many as pid 1
//! has in all.

pub mod dbus;

use crate::{Error, Proc, fd, read};
use dbus::{Args, Call, Connection, Reply};
use model::Kind;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long systemd may take for all that it is asked. It answers 200 questions in
/// some 10 ms; one that hangs must not hold us up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where systemd listens, below its root directory, whether or not a message bus
/// runs. Only root may ask.
const SOCKET: &str = "run/systemd/private";

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNKNOWN_METHOD: &str = "org.freedesktop.DBus.Error.UnknownMethod";

/// Descriptors on BPF objects in a table, by number.
type Kept = Vec<(u32, Kind)>;

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<Option<(Kept, Arc<FdStores>)>>);

/// What pid 1 keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdStores {
    /// Services that have anything in their store.
    pub units: Vec<Store>,
    /// Pid 1's descriptors on BPF objects, stored or its own.
    kept: Kept,
    /// They were the same before and after.
    settled: bool,
}

/// A unit's fd store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The unit, as `systemctl` takes it.
    pub unit: String,
    /// The BPF objects in it, one kind for each descriptor. `None` if systemd does
    /// not tell (before 254).
    pub objects: Option<Vec<Kind>>,
}

impl Store {
    fn count(&self, kind: Kind) -> Option<usize> {
        let objects = self.objects.as_ref()?;
        Some(objects.iter().filter(|&&k| k == kind).count())
    }
}

/// For whom pid 1 keeps its descriptors of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper<'a> {
    /// For itself: no unit has such a one in its store.
    Itself,
    /// All for this unit.
    Unit(&'a str),
    /// For one of these, or for itself.
    Among(Vec<&'a Store>),
}

impl FdStores {
    /// For whom pid 1 keeps the descriptors on objects of this kind.
    pub fn keeper(&self, kind: Kind) -> Keeper<'_> {
        let may = |store: &&Store| store.count(kind) != Some(0);
        let among: Vec<&Store> = self.units.iter().filter(may).collect();
        let all = self.kept.iter().filter(|&&(_, k)| k == kind).count();
        match among[..] {
            [] => Keeper::Itself,
            [only] if self.settled && only.count(kind) == Some(all) => Keeper::Unit(&only.unit),
            _ => Keeper::Among(among),
        }
    }
}

impl Proc {
    /// The fd stores of pid 1. It is asked anew only if its descriptors on BPF
    /// objects are others than the last time.
    ///
    /// # Errors
    /// Its descriptors cannot be read, or it does not answer: not root, no
    /// systemd, or no way to its socket.
    pub fn fd_stores(&self) -> Result<Arc<FdStores>, Error> {
        let kept = self.kept_by(1)?;
        let mut asked = self.stores.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, stores)) = &*asked
            && *then == kept
        {
            return Ok(Arc::clone(stores));
        }
        let path = self.root().join("1/root").join(SOCKET);
        let units = ask(&path, Some(1)).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => Error::Denied { path },
            _ => Error::Read { path, source },
        })?;
        let settled = self.kept_by(1)? == kept;
        let stores = Arc::new(FdStores {
            units,
            kept: kept.clone(),
            settled,
        });
        *asked = settled.then(|| (kept, Arc::clone(&stores)));
        Ok(stores)
    }

    /// A process's descriptors on BPF objects.
    fn kept_by(&self, pid: u32) -> Result<Kept, Error> {
        let dir = self.process_dir(pid)?;
        let mut numbers = read::numbers(&self.process_path(pid).join("fd"))?;
        numbers.sort_unstable();
        let kind = |number: u32| {
            // One that is closed meanwhile is none.
            let link = dir.link(&format!("fd/{number}")).ok()?;
            Some((number, fd::kind_of(&link)?))
        };
        Ok(numbers.into_iter().filter_map(kind).collect())
    }
}

/// Asks the systemd that listens there, which must be this process.
fn ask(path: &Path, pid: Option<i32>) -> io::Result<Vec<Store>> {
    let deadline = Instant::now() + PATIENCE;
    let stream = connect(path)?;
    let peer = sockopt::socket_peercred(&stream)?.pid.as_raw_pid();
    if pid.is_some_and(|pid| pid != peer) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let mut bus = Connection::new(stream, deadline)?;
    let units = services(&mut bus)?;

    let strings: Vec<[&str; 1]> = units.iter().map(|(unit, _)| [unit.as_str()]).collect();
    let dumps: Vec<Call<'_>> = strings
        .iter()
        .map(|unit| manager("DumpUnitFileDescriptorStore", Args::Strings(unit)))
        .collect();
    // One first: before 254 there is no such method.
    let (first, others) = dumps.split_at(dumps.len().min(1));
    let mut replies = bus.call(first)?;
    if replies == [Reply::Error(UNKNOWN_METHOD.to_owned())] {
        return counted(&mut bus, units);
    }
    replies.extend(bus.call(others)?);
    let mut stores = Vec::new();
    for ((unit, _), reply) in units.into_iter().zip(replies) {
        // An error: no store, or the unit is gone meanwhile.
        if let Reply::Return { .. } = &reply {
            let links = links(&reply).ok_or(io::ErrorKind::InvalidData)?;
            if !links.is_empty() {
                let kinds = links.iter().filter_map(|link| fd::kind_of(link.as_bytes()));
                stores.push(Store {
                    unit,
                    objects: Some(kinds.collect()),
                });
            }
        }
    }
    Ok(stores)
}

/// Connects without waiting for longer than is left: a full queue blocks.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn manager<'a>(member: &'a str, args: Args<'a>) -> Call<'a> {
    Call {
        path: "/org/freedesktop/systemd1",
        interface: MANAGER,
        member,
        args,
    }
}

/// Services that are loaded, with their objects' paths.
fn services(bus: &mut Connection) -> io::Result<Vec<(String, String)>> {
    let call = manager("ListUnitsByPatterns", Args::Lists(&[], &["*.service"]));
    let reply = bus.call(&[call])?;
    let units = reply.first().and_then(units);
    units.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Names and object paths in a list of units.
pub fn units(reply: &Reply) -> Option<Vec<(String, String)>> {
    let Reply::Return { signature, body } = reply else {
        return None;
    };
    if signature != "a(ssssssouso)" {
        return None;
    }
    body.reader().structs(|unit| {
        let name = unit.str()?.to_owned();
        for _ in 0..5 {
            unit.str()?;
        }
        let path = unit.str()?.to_owned();
        unit.u32()?;
        unit.str()?;
        unit.str()?;
        Some((name, path))
    })
}

/// What `readlink` says of each descriptor in a store.
pub fn links(reply: &Reply) -> Option<Vec<String>> {
    let Reply::Return { signature, body } = reply else {
        return None;
    };
    if signature != "a(suuutuusu)" {
        return None;
    }
    body.reader().structs(|entry| {
        entry.str()?;
        for _ in 0..3 {
            entry.u32()?;
        }
        entry.skip_u64()?;
        entry.u32()?;
        entry.u32()?;
        let link = entry.str()?.to_owned();
        entry.u32()?;
        Some(link)
    })
}

/// The stores of an older systemd, which tells only how many are in each.
fn counted(bus: &mut Connection, units: Vec<(String, String)>) -> io::Result<Vec<Store>> {
    let args = ["org.freedesktop.systemd1.Service", "NFileDescriptorStore"];
    let calls: Vec<Call<'_>> = units
        .iter()
        .map(|(_, path)| Call {
            path,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            args: Args::Strings(&args),
        })
        .collect();
    let replies = bus.call(&calls)?;
    let filled = |reply: &Reply| match reply {
        Reply::Return { signature, body } if signature == "v" => {
            let mut value = body.reader();
            value.signature() == Some("u") && value.u32().is_some_and(|n| n > 0)
        }
        _ => false,
    };
    Ok(units
        .into_iter()
        .zip(&replies)
        .filter(|(_, reply)| filled(reply))
        .map(|((unit, _), _)| Store {
            unit,
            objects: None,
        })
        .collect())
}

#[cfg(test)]
mod tests;
