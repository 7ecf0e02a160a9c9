//! Loads the iterator programs, learns how BPF's files look, and runs walks.

use crate::core_btf::CoreBtf;
use crate::error::{Error, Needs};
use crate::objects::Map;
use crate::rows::{Rows, generated, types};
use crate::sys;
use generated::{WalksSkel, WalksSkelBuilder};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{AsRawLibbpf, PrintLevel};
use model::{Kind, ObjectId};
use rustc_hash::FxHashSet;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;

/// The walks. Each is one iterator program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Walk {
    /// All maps.
    Maps,
    /// All programs.
    Progs,
    /// All links (5.19).
    Links,
    /// All descriptor tables.
    Files,
    /// All memory mappings.
    Mappings,
    /// All inodes of all bpffs.
    Pins,
    /// What stands in maps that hold objects.
    Slots,
}

impl Walk {
    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Progs => "programs",
            Self::Links => "links",
            Self::Files => "descriptors",
            Self::Mappings => "mappings",
            Self::Pins => "pins",
            Self::Slots => "slots",
        }
    }
}

/// Those that every sweep runs. The others are loaded when they are first wanted.
const EVERY_SWEEP: [Walk; 4] = [Walk::Maps, Walk::Progs, Walk::Links, Walk::Files];
const STAGED: [Walk; 3] = [Walk::Pins, Walk::Slots, Walk::Mappings];

/// Ids of the objects that this process made in order to look.
pub type Own = FxHashSet<ObjectId>;

/// The loaded walks.
pub struct Walks {
    every_sweep: Loaded,
    staged: Option<Loaded>,
    /// They were refused, and are not tried again.
    refused: Option<Refusal>,
    own: Own,
    /// What our own descriptors taught us.
    file_ops: types::file_ops,
    /// Whether the staged walks call `bpf_loop` (5.17).
    loops: Loops,
    /// Address of sockfs's `struct file_system_type`.
    fs_type: u64,
    has_links: bool,
}

impl std::fmt::Debug for Walks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walks").finish_non_exhaustive()
    }
}

impl Walks {
    /// Loads what every sweep needs. Needs `CAP_BPF` and `CAP_PERFMON`, and a
    /// kernel with BTF and BPF iterators.
    pub fn load() -> Result<Self, Error> {
        let (every_sweep, has_links) = match Loaded::new(&EVERY_SWEEP, Loops::Calls) {
            Ok(loaded) => (loaded, true),
            // No link iterator before 5.19 (2f5f33ae7f0a "bpf: Add bpf_link iterator").
            Err(error) if error.needs() == Needs::Other && !has_type("bpf_iter__bpf_link") => {
                let others = [Walk::Maps, Walk::Progs, Walk::Files];
                (Loaded::new(&others, Loops::Calls)?, false)
            }
            Err(error) => return Err(error),
        };
        let mut walks = Self {
            own: Own::default(),
            every_sweep,
            staged: None,
            refused: None,
            file_ops: types::file_ops::default(),
            loops: Loops::Calls,
            fs_type: 0,
            has_links,
        };
        walks.every_sweep.own_objects(&mut walks.own);
        walks.calibrate()?;
        Ok(walks)
    }

    /// What this process made in order to look.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Notes maps that libbpf made to try out what the kernel can do. Their program
    /// is closed, and they go with it after a grace period; until then they stand
    /// among our own ids, without a user.
    pub(crate) fn note_probes(&mut self, maps: &[Map]) {
        let own = self.own.iter().filter(|id| id.kind == Kind::Map);
        let ids: Vec<u32> = own.map(|id| id.id).collect();
        let (Some(&first), Some(&last)) = (ids.iter().min(), ids.iter().max()) else {
            return;
        };
        let probes = maps.iter().filter(|map| {
            (first..last).contains(&map.id) && map.usercnt == 0 && map.name.starts_with("libbpf_")
        });
        self.own.extend(probes.map(|map| ObjectId {
            kind: Kind::Map,
            id: map.id,
        }));
    }

    /// Whether this kernel can show links (5.19).
    pub fn has_links(&self) -> bool {
        self.has_links
    }

    /// The id of the program that walks `walk`. While it runs, its own count
    /// has two more: its link's and its open file's.
    pub fn program_id(&self, walk: Walk) -> Option<u32> {
        sys::prog_id(self.every_sweep.program(walk)).ok()
    }

    /// How deep our pid namespace lies; 0 is the initial one.
    pub fn pid_namespace_level(&self) -> u32 {
        self.file_ops.level
    }

    /// Runs one walk; `each` gets its rows, many at a time. `info` says over
    /// what, for iterators that need it.
    pub(crate) fn run(&mut self, walk: Walk, mut each: impl FnMut(Rows<'_>)) -> Result<(), Error> {
        let loaded = if EVERY_SWEEP.contains(&walk) {
            &mut self.every_sweep
        } else {
            self.load_staged()?;
            self.staged.as_mut().expect("it is loaded")
        };
        loaded.bss().last = types::last_written::default();
        let ticks = matches!(walk, Walk::Pins | Walk::Slots)
            .then(|| sys::iter_over_map(loaded.skel.maps.ticks.as_fd()));
        let fail = |source| Error::Walk {
            walk: walk.name(),
            source,
        };
        let link = sys::iter_link(loaded.program(walk), ticks).map_err(fail)?;
        let file = open(&link, &mut self.own).map_err(fail)?;
        read_rows(file, &mut each).map_err(fail)
    }

    /// The global variables of the object that has `Pins`, `Slots` and `Mappings`.
    pub(crate) fn staged_bss(&mut self) -> Result<&mut types::bss, Error> {
        self.load_staged()?;
        Ok(self.staged.as_mut().expect("it is loaded").bss())
    }

    pub(crate) fn sockfs_type(&self) -> u64 {
        self.fs_type
    }

    /// Uses the programs for kernels without `bpf_loop` also where there is one.
    /// For tests: both must find the same.
    pub fn use_plain_loops(&mut self) {
        self.staged = None;
        self.loops = Loops::Plain;
    }

    fn load_staged(&mut self) -> Result<(), Error> {
        if self.staged.is_some() {
            return Ok(());
        }
        if let Some(refusal) = &self.refused {
            return Err(refusal.error());
        }
        let mut loaded = Loaded::new(&STAGED, self.loops);
        if loaded.is_err() && self.loops == Loops::Calls {
            // No bpf_loop before 5.17 (e6f2dd0f8067 "bpf: Add bpf_loop helper").
            let plain = Loaded::new(&STAGED, Loops::Plain);
            if plain.is_ok() {
                self.loops = Loops::Plain;
                loaded = plain;
            }
        }
        let mut loaded = loaded.inspect_err(|error| self.refused = Some(Refusal::new(error)))?;
        loaded.bss().file_ops = self.file_ops;
        loaded.own_objects(&mut self.own);
        self.staged = Some(loaded);
        Ok(())
    }

    /// Reads what our own descriptors look like to the kernel. A table of file
    /// operations is believed only as far as a file of ours has it.
    fn calibrate(&mut self) -> Result<(), Error> {
        let failed = |source| Error::Walk {
            walk: "lastref's own descriptors",
            source,
        };
        let socket = UnixDatagram::unbound().ok();
        let loaded = &mut self.every_sweep;
        loaded.bss().calibrating = true;
        let program = loaded.program(Walk::Files);
        // Restricted to ourselves where the kernel can (6.1); the program checks it anyway.
        let link = sys::iter_link(program, Some(sys::iter_over_process(std::process::id())))
            .or_else(|_| sys::iter_link(program, None))
            .map_err(failed)?;
        let file = open(&link, &mut self.own).map_err(failed)?;
        let samples = Samples {
            map: loaded.skel.maps.bss.as_fd().as_raw_fd(),
            prog: program.as_raw_fd(),
            link: link.as_raw_fd(),
            btf: loaded.btf_fd(),
            iter: file.as_raw_fd(),
            socket: socket.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        };
        let mut seen = Vec::new();
        read_rows(file, &mut |rows| {
            seen.extend(rows.map(|row| row.as_type::<types::row_calibration>()));
        })
        .map_err(failed)?;
        let (file_ops, fs_type) = samples.learn(&seen)?;
        self.file_ops = file_ops;
        self.fs_type = fs_type;
        self.every_sweep.bss().file_ops = file_ops;
        self.every_sweep.bss().calibrating = false;
        Ok(())
    }
}

/// Descriptors of ours, one of each kind that is to be recognised.
struct Samples {
    map: i32,
    prog: i32,
    link: i32,
    btf: i32,
    iter: i32,
    socket: i32,
}

impl Samples {
    fn learn(&self, seen: &[types::row_calibration]) -> Result<(types::file_ops, u64), Error> {
        let find = |fd: i32| seen.iter().find(|s| s.row.n.cast_signed() == fd && fd >= 0);
        let f_op = |fd, why| match find(fd) {
            Some(s) if s.f_op != 0 && s.private_data != 0 => Ok(*s),
            _ => Err(Error::Calibration(why)),
        };
        let map = f_op(self.map, "its own map was not among them")?;
        let prog = f_op(self.prog, "its own program was not among them")?;
        let link = f_op(self.link, "its own link was not among them")?;
        let btf = f_op(self.btf, "its own BTF was not among them")?;
        let iter = f_op(self.iter, "its own iterator was not among them")?;
        let tables: FxHashSet<u64> = [map, prog, link, btf, iter]
            .iter()
            .map(|s| s.f_op)
            .collect();
        if tables.len() != 5 {
            return Err(Error::Calibration("two kinds of file look the same"));
        }
        let file_ops = types::file_ops {
            map: map.f_op,
            prog: prog.f_op,
            link: link.f_op,
            btf: btf.f_op,
            iter: iter.f_op,
            link_release: link.release,
            level: map.level,
            ..types::file_ops::default()
        };
        Ok((file_ops, find(self.socket).map_or(0, |s| s.fs_type)))
    }
}

/// Opens an iterator of ours, and notes that its link is our own.
fn open(link: &OwnedFd, own: &mut Own) -> io::Result<OwnedFd> {
    let file = sys::iter_create(link.as_fd())?;
    let id = sys::link_id(link.as_fd()).ok();
    own.extend(id.map(|id| ObjectId {
        kind: Kind::Link,
        id,
    }));
    Ok(file)
}

/// Reads an iterator to its end.
fn read_rows(file: OwnedFd, each: &mut dyn FnMut(Rows<'_>)) -> io::Result<()> {
    use std::io::Read as _;
    // The kernel's own buffer has 8 pages (bpf_seq_read): with as much room, no row is cut.
    let mut buffer = vec![0u8; 64 * 1024];
    let mut file = File::from(file);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => each(Rows(&buffer[..length])),
            // After a million elements without output (MAX_ITER_OBJECTS) it wants to be called again.
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Why programs were refused, to be said again.
struct Refusal {
    needs: Needs,
    message: String,
}

impl Refusal {
    fn new(error: &Error) -> Self {
        let source = std::error::Error::source(error);
        Self {
            needs: error.needs(),
            message: source.map_or_else(String::new, ToString::to_string),
        }
    }

    fn error(&self) -> Error {
        Error::Load {
            needs: self.needs,
            source: io::Error::other(self.message.clone()),
            log: String::new(),
        }
    }
}

/// Whether the running kernel has a type of that name.
fn has_type(name: &str) -> bool {
    use libbpf_rs::btf::{Btf, BtfType};
    Btf::from_vmlinux().is_ok_and(|btf| btf.type_by_name::<BtfType<'_>>(name).is_some())
}

/// How a walk with many steps makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loops {
    /// By `bpf_loop`.
    Calls,
    /// By a bounded loop, which the verifier follows step by step.
    Plain,
}

/// One instance of the BPF object, with some of its programs loaded.
struct Loaded {
    skel: WalksSkel<'static>,
    loops: Loops,
}

impl Loaded {
    fn new(walks: &[Walk], loops: Loops) -> Result<Self, Error> {
        static LOG: Mutex<String> = Mutex::new(String::new());
        #[allow(clippy::needless_pass_by_value, reason = "libbpf-rs gives the type")]
        fn keep(_: PrintLevel, message: String) {
            if let Ok(mut log) = LOG.lock() {
                log.push_str(&message);
            }
        }
        libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
        let fail = |error: &libbpf_rs::Error| {
            let log = LOG.lock().map(|mut l| std::mem::take(&mut *l));
            load_error(error, log.unwrap_or_default())
        };
        // Lives as long as the process, which makes four of these at most.
        let storage = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut builder = WalksSkelBuilder::default();
        let core_btf = CoreBtf::of_running_kernel();
        if let Some(path) = core_btf.as_ref().and_then(CoreBtf::path) {
            builder
                .obj_builder
                .btf_custom_path(path)
                .map_err(|e| fail(&e))?;
        }
        let mut open = builder.open(storage).map_err(|e| fail(&e))?;
        let progs = &mut open.progs;
        progs.maps.set_autoload(walks.contains(&Walk::Maps));
        progs.progs.set_autoload(walks.contains(&Walk::Progs));
        progs.links.set_autoload(walks.contains(&Walk::Links));
        progs.files.set_autoload(walks.contains(&Walk::Files));
        progs.mappings.set_autoload(walks.contains(&Walk::Mappings));
        let plain = loops == Loops::Plain;
        let (pins, slots) = (walks.contains(&Walk::Pins), walks.contains(&Walk::Slots));
        progs.pins.set_autoload(pins && !plain);
        progs.slots.set_autoload(slots && !plain);
        progs.pins_plain.set_autoload(pins && plain);
        progs.slots_plain.set_autoload(slots && plain);
        let skel = open.load().map_err(|e| fail(&e))?;
        Ok(Self { skel, loops })
    }

    fn bss(&mut self) -> &mut types::bss {
        self.skel
            .maps
            .bss_data
            .as_deref_mut()
            .expect("libbpf maps .bss when it loads the object")
    }

    fn program(&self, walk: Walk) -> BorrowedFd<'_> {
        let progs = &self.skel.progs;
        match walk {
            Walk::Maps => progs.maps.as_fd(),
            Walk::Progs => progs.progs.as_fd(),
            Walk::Links => progs.links.as_fd(),
            Walk::Files => progs.files.as_fd(),
            Walk::Mappings => progs.mappings.as_fd(),
            Walk::Pins if self.loops == Loops::Plain => progs.pins_plain.as_fd(),
            Walk::Slots if self.loops == Loops::Plain => progs.slots_plain.as_fd(),
            Walk::Pins => progs.pins.as_fd(),
            Walk::Slots => progs.slots.as_fd(),
        }
    }

    fn btf_fd(&self) -> i32 {
        // SAFETY: the object is loaded and lives as long as the skeleton.
        unsafe { libbpf_sys::bpf_object__btf_fd(self.skel.object().as_libbpf_object().as_ptr()) }
    }

    fn own_objects(&self, own: &mut Own) {
        let mut add =
            |kind, id: io::Result<u32>| own.extend(id.ok().map(|id| ObjectId { kind, id }));
        for map in self.skel.object().maps() {
            add(Kind::Map, sys::map_id(map.as_fd()));
        }
        for prog in self.skel.object().progs() {
            if prog.autoload() {
                add(Kind::Prog, sys::prog_id(prog.as_fd()));
            }
        }
        let btf = self.btf_fd();
        if btf >= 0 {
            // SAFETY: the descriptor belongs to the object, which outlives this call.
            add(
                Kind::Btf,
                sys::btf_id(unsafe { BorrowedFd::borrow_raw(btf) }),
            );
        }
    }
}

fn load_error(error: &libbpf_rs::Error, log: String) -> Error {
    let exists = |path| std::path::Path::new(path).exists();
    let needs = if error.kind() == libbpf_rs::ErrorKind::PermissionDenied {
        Needs::Capabilities
    } else if !exists("/sys/kernel") {
        Needs::Sysfs
    } else if !exists("/sys/kernel/btf/vmlinux") {
        Needs::KernelBtf
    } else if !has_type("bpf_iter__task_file") {
        Needs::Iterators
    } else {
        Needs::Other
    };
    Error::Load {
        needs,
        source: io::Error::other(error.to_string()),
        log,
    }
}
