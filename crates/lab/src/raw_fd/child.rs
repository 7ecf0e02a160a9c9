//! The process that leaks.

use crate::apart::{Failure, live_apart, mount_bpffs};
use crate::error::Step;
use crate::message::Message;
use crate::raw_fd::Order;
use crate::signals::leave_ctrl_c_to_parent;
use crate::worker::told_to_stop;
use kernel::sys;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{UnshareFlags, set_name};
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::time::{Duration, Instant};

/// Where the private bpffs may be: the first of these that is there. Its mount is
/// seen by this process alone, and nothing is written below it.
const PLACES: [&str; 3] = ["/sys/fs/bpf", "/mnt", "/tmp"];
/// The directory in it.
const DIRECTORY: &str = "lastref-lab";
/// So many descriptors are opened before the parent is heard again.
const BATCH: u64 = 256;
/// The clock may say that the next one is due a hair before the sum does.
const HAIR: Duration = Duration::from_micros(1);

/// Does what is ordered, until the parent says stop or dies.
pub(crate) fn child(order: &Order) -> ! {
    leave_ctrl_c_to_parent();
    // Only for the looks.
    let _ = set_name(c"lab-raw-fd");
    match prepare(order) {
        Ok((map_id, path)) => leak(order, map_id, &path),
        Err((step, errno)) => {
            say(&Message::Failed { step, errno });
            exit(1)
        }
    }
}

/// A pinned map, with no descriptor on it.
fn prepare(order: &Order) -> Result<(u32, PathBuf), Failure> {
    let at = |step| move |error: io::Error| (step, error.raw_os_error().unwrap_or(libc::EIO));

    live_apart(order.parent, UnshareFlags::NEWNS)?;
    let place = PLACES.iter().map(Path::new).find(|path| path.is_dir());
    let place = place.ok_or((Step::Mount, libc::ENOENT))?;
    mount_bpffs(place)?;
    let directory = place.join(DIRECTORY);
    std::fs::create_dir(&directory).map_err(at(Step::Directory))?;

    let name = CString::new(order.map_name.as_str()).map_err(|_| (Step::Create, libc::EINVAL))?;
    let map =
        sys::create_array(&name, order.value_size, order.max_entries).map_err(at(Step::Create))?;
    let id = sys::map_id(map.as_fd()).map_err(at(Step::Create))?;
    let path = directory.join(&order.map_name);
    sys::pin(map.as_fd(), &path).map_err(at(Step::Pin))?;
    Ok((id, path))
}

/// Opens the pin again and again.
fn leak(order: &Order, map_id: u32, path: &Path) -> ! {
    let began = Instant::now();
    let mut leaked = 0;
    let mut first = None;
    let mut stuck = None;
    let mut fresh = true;
    loop {
        let due = order.due(began.elapsed()).min(leaked + BATCH);
        let before = leaked;
        while leaked < due && stuck.is_none() {
            match sys::open_pin(path) {
                Ok(fd) => {
                    // The leak.
                    let fd = fd.into_raw_fd();
                    first.get_or_insert(fd);
                    leaked += 1;
                }
                Err(error) => stuck = Some(error.raw_os_error().unwrap_or(libc::EIO)),
            }
        }
        if fresh {
            say(&Message::Ready {
                map_id,
                fd: first,
                path: path.display().to_string(),
            });
            fresh = false;
        }
        if leaked > before {
            say(&Message::Leaked(leaked));
        }
        let next = if let Some(errno) = stuck {
            let limit = getrlimit(Resource::Nofile).current;
            say(&Message::Stuck {
                leaked,
                errno,
                limit,
            });
            None
        } else if order.count.is_some_and(|count| leaked >= count) {
            say(&Message::Enough(leaked));
            None
        } else {
            order
                .next(leaked)
                .and_then(|next| began.checked_add(next + HAIR))
        };
        if told_to_stop(next) {
            say(&Message::Stopped(leaked));
            exit(0);
        }
    }
}

/// Tells the parent; without one there is nothing left to do.
fn say(message: &Message) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{message}")
        .and_then(|()| out.flush())
        .is_err()
    {
        exit(1);
    }
}
