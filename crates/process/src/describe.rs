//! A process, described.

use crate::read::{ProcessDir, SMALL};
use crate::{Error, Proc, cgroup, stat, status};
use model::{Process, decode};

/// How many threads are tried for one that lives, behind a dead main thread.
const THREADS: usize = 64;

impl Proc {
    /// Name, executable, start, cgroup and container of a process; `fds` is left
    /// empty and `tid` unset. A container's names are looked for once, in the
    /// files of its runtime.
    ///
    /// A field that cannot be read is `None`: `exe` also for kernel threads and
    /// zombies, which have none, and without the privilege to see it. Behind a
    /// main thread that has exited, `exe` and `cgroup` come from a thread that
    /// lives. If the process exits meanwhile, what was read so far is the answer.
    ///
    /// # Errors
    /// The process is gone, there is no `/proc`, or not even the name can be read.
    pub fn describe(&self, pid: u32) -> Result<Process, Error> {
        let dir = self.process_dir(pid)?;
        let mut buf = Vec::new();
        let mut process = Process {
            pid,
            ..Process::default()
        };

        // `stat` has the name too (the same bytes as in `comm`): a file less to open.
        let mut living_thread = None;
        dir.read_single("stat", SMALL, &mut buf)
            .map_err(|errno| dir.error("stat", errno))?;
        if let Some(stat) = stat::parse(&buf) {
            process.comm = decode(stat.comm).into();
            process.start_ticks = Some(stat.start_ticks);
            if stat.is_dead() && stat.threads > 1 {
                living_thread = find_living_thread(&dir, pid);
            }
        } else {
            dir.read_single("comm", SMALL, &mut buf)
                .map_err(|errno| dir.error("comm", errno))?;
            process.comm = decode(buf.strip_suffix(b"\n").unwrap_or(&buf)).into();
        }

        if self.is_in_our_pid_namespace(&dir) {
            process.ns_pid = Some(pid);
        } else if dir.read_single("status", SMALL, &mut buf).is_ok() {
            process.ns_pid = status::ns_pid(&buf);
        }

        let of = |name: &str| match living_thread {
            Some(tid) => format!("task/{tid}/{name}"),
            None => name.to_owned(),
        };
        process.exe = dir
            .link(&of("exe"))
            .ok()
            .map(|target| decode(&target).into());
        if dir.read_single(&of("cgroup"), SMALL, &mut buf).is_ok()
            && let Some(membership) = cgroup::parse(&buf)
        {
            process.cgroup = Some(membership.path.into());
            process.unit = membership.unit.map(Into::into);
            process.container = membership.container.map(|c| self.name_container(c));
        }
        Ok(process)
    }

    /// The parent of a process; 0 if it is outside of this pid namespace, or there is none.
    pub fn parent(&self, pid: u32) -> Result<u32, Error> {
        let dir = self.process_dir(pid)?;
        let mut buf = Vec::new();
        dir.read_single("stat", SMALL, &mut buf)
            .map_err(|errno| dir.error("stat", errno))?;
        let stat = stat::parse(&buf).ok_or_else(|| dir.malformed("stat", "not its fields"))?;
        Ok(stat.parent)
    }

    /// The process that a thread belongs to; of a process itself, that.
    pub fn thread_group(&self, tid: u32) -> Result<u32, Error> {
        let status = self.status(tid)?;
        status::thread_group(&status).ok_or_else(|| Error::Malformed {
            path: self.process_path(tid).join("status"),
            what: "no line on its thread group",
        })
    }

    /// A process's id in its innermost pid namespace.
    pub fn ns_pid(&self, pid: u32) -> Result<Option<u32>, Error> {
        Ok(status::ns_pid(&self.status(pid)?))
    }

    /// All processes that are shown to us, in no order.
    pub fn processes(&self) -> Result<Vec<u32>, Error> {
        crate::read::numbers(self.root())
    }

    fn status(&self, pid: u32) -> Result<Vec<u8>, Error> {
        let dir = self.process_dir(pid)?;
        let mut buf = Vec::new();
        dir.read_single("status", SMALL, &mut buf)
            .map_err(|errno| dir.error("status", errno))?;
        Ok(buf)
    }

    /// Whether a process has no other pid than the one `/proc` lists it by. The link costs half
    /// of `status` or less; where it may not be read, that is asked.
    fn is_in_our_pid_namespace(&self, dir: &ProcessDir) -> bool {
        const LINK: &str = "ns/pid";
        let ours = self.pid_namespace.get_or_init(|| {
            let first = self.process_dir(1).ok()?;
            first.link(LINK).ok()
        });
        match ours {
            Some(ours) => dir.link(LINK).is_ok_and(|link| link == *ours),
            None => false,
        }
    }
}

/// A thread that still has its memory: the kernel takes `exe` from there
/// (`proc_exe_link`), and shows `/` as the v1 cgroup of an exiting one
/// (`proc_cgroup_show`).
fn find_living_thread(dir: &ProcessDir, pid: u32) -> Option<u32> {
    let threads = dir.threads().ok()?;
    let mut others = threads.into_iter().filter(|&tid| tid != pid).take(THREADS);
    others.find(|tid| dir.link(&format!("task/{tid}/exe")).is_ok())
}
