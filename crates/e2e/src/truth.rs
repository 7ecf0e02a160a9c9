//! The kernel's own counters, read by iterators that share no code with lastref.
//!
//! One process for each test program loads them with bpftool in a mount namespace
//! of its own, and keeps them pinned there; whoever wants to know opens and reads
//! the pins through `/proc/PID/root`.

use crate::bpf::{self, Kind};
use crate::scene::{Child, Inherit, Outcome, Stop};
use crate::sys::c_string;
use crate::{files, kernel};
use serde_json::json;
use std::collections::HashMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The loaded iterators.
#[derive(Debug)]
pub struct Truth {
    keeper: u32,
}

/// What the counters of all objects said at one time. The reference that an
/// iterator holds on what it shows is subtracted.
#[derive(Debug, Default)]
pub struct Counts {
    /// By map id: `refcnt` and `usercnt`.
    pub maps: HashMap<u32, (u64, u64)>,
    /// By program id.
    pub progs: HashMap<u32, u64>,
    /// By link id.
    pub links: HashMap<u32, u64>,
    /// By BTF id, as far as maps and programs lead there.
    pub btfs: HashMap<u32, u64>,
    /// The names of maps and programs, at most 15 bytes.
    pub names: HashMap<(Kind, u32), String>,
}

impl Counts {
    /// The reference count of an object.
    pub fn refcnt(&self, kind: Kind, id: u32) -> Option<u64> {
        match kind {
            Kind::Map => self.maps.get(&id).map(|(refcnt, _)| *refcnt),
            Kind::Prog => self.progs.get(&id).copied(),
            Kind::Link => self.links.get(&id).copied(),
            Kind::Btf => self.btfs.get(&id).copied(),
        }
    }
}

impl Truth {
    /// The iterators of this test program, loaded on first use.
    pub fn get() -> &'static Self {
        static TRUTH: OnceLock<Truth> = OnceLock::new();
        TRUTH.get_or_init(|| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let bpftool = Bpftool::find();
            // The keeper dies with the thread that forks it, so that thread lives
            // as long as this process.
            std::thread::spawn(move || {
                let child = Child::start(Inherit::Nothing, |stage| {
                    let bpffs = files::private_bpffs()?;
                    for kind in kinds() {
                        bpftool.pin(kind, &bpffs.join(kind))?;
                    }
                    stage.ready(json!({}))
                });
                let _ = sender.send(child.as_ref().map(|c| c.pid).map_err(Stop::to_string));
                loop {
                    std::thread::park();
                }
            });
            let keeper = receiver.recv().expect("the keeper's thread answers");
            let keeper = keeper.unwrap_or_else(|e| panic!("the iterators of the truth: {e}"));
            Self { keeper }
        })
    }

    /// Reads the counters of all maps, programs and links.
    pub fn read(&self) -> Counts {
        let mut counts = Counts::default();
        for ([id, refcnt, usercnt, btf, btf_refcnt], name) in self.rows("map") {
            counts.names.insert((Kind::Map, id as u32), name);
            counts.maps.insert(id as u32, (refcnt - 1, usercnt));
            counts.btfs.insert(btf as u32, btf_refcnt);
        }
        for ([id, refcnt, btf, btf_refcnt], name) in self.rows("prog") {
            counts.names.insert((Kind::Prog, id as u32), name);
            counts.progs.insert(id as u32, refcnt - 1);
            counts.btfs.insert(btf as u32, btf_refcnt);
        }
        if kinds().contains(&"link") {
            for ([id, refcnt], _) in self.rows("link") {
                counts.links.insert(id as u32, refcnt - 1);
            }
        } else {
            counts.links = self.links_by_descriptor();
        }
        // What has no BTF prints 0.
        counts.btfs.remove(&0);
        counts
    }

    /// The counts of links as our own descriptors on them show it. The reference of
    /// each such descriptor is subtracted.
    fn links_by_descriptor(&self) -> HashMap<u32, u64> {
        let links = bpf::all_links();
        let own = u64::from(std::process::id());
        let is_one = |fd: u64, id: u64| {
            let mut links = links.iter();
            links.any(|link| u64::from(link.fd()) == fd && u64::from(link.id) == id)
        };
        self.rows("link_file")
            .filter(|([pid, fd, id, _], _)| *pid == own && is_one(*fd, *id))
            .map(|([_, _, id, refcnt], _)| (id as u32, refcnt - 1))
            .collect()
    }

    /// Reference count of the BTF with this id behind descriptor `fd` of `pid`.
    pub fn btf_behind(&self, pid: u32, fd: u32, id: u32) -> Option<u64> {
        let row = self
            .rows("file")
            .find(|(row, _)| row[..3] == [u64::from(pid), u64::from(fd), u64::from(id)]);
        row.map(|([_, _, _, refcnt], _)| refcnt)
    }

    /// One run of an iterator: on each line `N` whole numbers, and a name or nothing.
    fn rows<const N: usize>(
        &self,
        kind: &str,
    ) -> impl Iterator<Item = ([u64; N], String)> + use<N> {
        let path = format!("/proc/{}/root{}/{kind}", self.keeper, files::BPFFS);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("reading {path}: {e}"));
        let rows: Vec<_> = text
            .lines()
            .map(|line| row(line).unwrap_or_else(|| panic!("{path} says {line:?}")))
            .collect();
        rows.into_iter()
    }
}

fn row<const N: usize>(line: &str) -> Option<([u64; N], String)> {
    let mut words = line.splitn(N + 1, ' ');
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = words.next()?.parse().ok()?;
    }
    Some((numbers, words.next().unwrap_or_default().to_owned()))
}

/// The iterators that this kernel has.
fn kinds() -> [&'static str; 4] {
    // 9f8836127308 "bpf: Add bpf_link iterator"
    let link = if kernel::version() < (5, 19) {
        "link_file"
    } else {
        "link"
    };
    ["map", "prog", link, "file"]
}

/// The program that loads object files, and where they are.
pub(crate) struct Bpftool {
    program: CString,
    objects: PathBuf,
}

impl Bpftool {
    pub(crate) fn find() -> Self {
        let objects = std::env::var_os("LASTREF_E2E_FIXTURES")
            .map_or_else(|| PathBuf::from(env!("OUT_DIR")), PathBuf::from);
        let path = std::env::var("PATH").unwrap_or_default();
        let program = path
            .split(':')
            .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"])
            .map(|folder| PathBuf::from(folder).join("bpftool"))
            .find(|candidate| candidate.exists())
            .expect("bpftool is needed to load the iterators of the truth");
        let program = c_string(program.to_string_lossy().as_bytes()).expect("no zero in a path");
        Self { program, objects }
    }

    /// `bpftool iter pin OBJECT PATH`
    fn pin(&self, kind: &str, pin: &Path) -> Outcome {
        let object = self.objects.join(format!("truth_{kind}.bpf.o"));
        self.run(&[
            "iter",
            "pin",
            &object.to_string_lossy(),
            &pin.to_string_lossy(),
        ])
    }

    /// `bpftool prog loadall OBJECT PROGS pinmaps MAPS`
    pub(crate) fn load(&self, name: &str, progs: &Path, maps: &Path) -> Outcome {
        let object = self.objects.join(format!("{name}.bpf.o"));
        let [object, progs, maps] = [&object, progs, maps].map(Path::to_string_lossy);
        self.run(&["prog", "loadall", &object, &progs, "pinmaps", &maps])
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let words: Vec<CString> = std::iter::once(&"bpftool")
            .chain(arguments)
            .map(c_string)
            .collect::<Result<_, _>>()?;
        let mut pointers: Vec<_> = words.iter().map(|w| w.as_ptr()).collect();
        pointers.push(std::ptr::null());
        // SAFETY: the child calls execv at once, with a null-terminated array of C
        // strings; the parent waits for it.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::execv(self.program.as_ptr(), pointers.as_ptr());
                libc::_exit(127);
            }
            let mut status = -1;
            libc::waitpid(child, &raw mut status, 0);
            status
        };
        if status == 0 {
            return Ok(());
        }
        Err(Stop::Failed(format!(
            "{} {} failed (wait status {status})",
            self.program.to_string_lossy(),
            arguments.join(" ")
        )))
    }
}
