//! Loads the iterator programs, learns how BPF's files look, and runs walks.

use crate::core_btf::{CoreBtf, VMLINUX, has_struct};
use crate::error::{Error, Needs};
use crate::objects::Map;
use crate::rows::{Rows, generated, types};
use crate::samples::{Carriers, IO_URINGS, Samples};
use crate::sys;
use generated::{WalksSkel, WalksSkelBuilder};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{AsRawLibbpf, PrintLevel, ProgramImpl};
use model::{Kind, ObjectId};
use rustc_hash::FxHashSet;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The walks. Each is one iterator program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Walk {
    /// All maps.
    Maps,
    /// All programs.
    Progs,
    /// All links (5.19).
    Links,
    /// One link behind a descriptor of ours, where there is no `Links`.
    LinkByFd,
    /// All descriptor tables.
    Files,
    /// All memory mappings.
    Mappings,
    /// The same by each process's list, where there is no `Mappings`.
    MappingsListed,
    /// All processes' memories, for that.
    Spaces,
    /// All inodes of all bpffs.
    Pins,
    /// What stands in maps.
    Slots,
    /// All network namespaces and their devices.
    Nets,
    /// All cgroups.
    Cgroups,
    /// Sockets, perf events and io_urings in all descriptor tables.
    Carriers,
    /// What waits in a socket's queue or stands in an io_uring's table.
    Contents,
    /// The io_urings that tasks have registered for themselves.
    Rings,
    /// Events that children inherited of one perf event.
    Children,
}

impl Walk {
    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Progs => "programs",
            Self::Links | Self::LinkByFd => "links",
            Self::Files => "descriptors",
            Self::Mappings | Self::MappingsListed => "mappings",
            Self::Spaces => "processes",
            Self::Pins => "pins",
            Self::Slots => "slots",
            Self::Nets => "network devices",
            Self::Cgroups => "cgroups",
            Self::Carriers => "sockets, perf events and io_urings",
            Self::Contents => "messages in flight and fixed files",
            Self::Rings => "registered io_urings",
            Self::Children => "inherited perf events",
        }
    }

    /// Its program. Walks over lists have a second one, without `bpf_loop`.
    fn program(self, loops: Loops) -> &'static str {
        let plain = loops == Loops::Plain;
        match self {
            Self::Maps => "maps",
            Self::Progs => "progs",
            Self::Links => "links",
            Self::LinkByFd => "link_by_fd",
            Self::Files => "files",
            Self::Mappings => "mappings",
            Self::MappingsListed => "mappings_listed",
            Self::Spaces => "spaces",
            Self::Carriers => "carriers",
            Self::Rings => "rings",
            Self::Pins => choose(plain, "pins_plain", "pins"),
            Self::Slots => choose(plain, "slots_plain", "slots"),
            Self::Nets => choose(plain, "nets_plain", "nets"),
            Self::Cgroups => choose(plain, "cgroups_plain", "cgroups"),
            Self::Contents => choose(plain, "contents_plain", "contents"),
            Self::Children => choose(plain, "children_plain", "children"),
        }
    }

    /// It tells perf events and `io_urings` from other files.
    fn recognises_carriers(self) -> bool {
        matches!(
            self,
            Self::Mappings | Self::MappingsListed | Self::Carriers | Self::Contents | Self::Rings
        )
    }

    /// It goes over lists in bounded runs (`bpf/ticks.h`).
    fn ticks(self) -> bool {
        self == Self::MappingsListed || self.program(Loops::Calls) != self.program(Loops::Plain)
    }
}

fn choose<T>(condition: bool, one: T, other: T) -> T {
    if condition { one } else { other }
}

/// Those that every sweep runs.
const EVERY_SWEEP: [Walk; 4] = [Walk::Maps, Walk::Progs, Walk::Links, Walk::Files];
/// The others, in groups that are loaded together when one of them is first wanted.
const STAGED: [&[Walk]; 6] = [
    &[Walk::Pins, Walk::Slots],
    &[Walk::Mappings],
    &[Walk::MappingsListed, Walk::Spaces],
    &[Walk::Nets, Walk::Cgroups],
    &[Walk::Carriers, Walk::Contents, Walk::Rings],
    &[Walk::Children],
];

/// A walk whose list changes under it is made again at once, so often in all. What is
/// missed then is said (`cut`), and a later pass may find it.
const ATTEMPTS: u32 = 5;

/// Looks until what is found is not `cut`.
pub(crate) fn until_whole<T>(
    mut look: impl FnMut() -> Result<T, Error>,
    is_cut: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    for _ in 1..ATTEMPTS {
        let found = look()?;
        if !is_cut(&found) {
            return Ok(found);
        }
    }
    look()
}

/// Ids of the objects that this process made in order to look.
pub type Own = FxHashSet<ObjectId>;

/// The loaded walks.
pub struct Walks {
    every_sweep: Loaded,
    staged: [Staged; STAGED.len()],
    own: Own,
    /// What our own descriptors taught us.
    file_ops: types::file_ops,
    /// Whether the staged walks call `bpf_loop` (5.17).
    loops: Loops,
    /// Address of sockfs's `struct file_system_type`.
    fs_type: u64,
    has_links: bool,
    /// Kinds of carriers that could not be learned; none before that was tried.
    unknown_carriers: Option<Vec<&'static str>>,
    /// Time spent on loading programs.
    loading: Duration,
    /// The same, of processors.
    loading_cpu: Duration,
    /// The kernel has an XDP dispatcher; `None` until that was asked.
    pub(crate) has_dispatcher: Option<bool>,
    /// An iterator over mappings; asked for when it is first wanted.
    has_mappings: Option<bool>,
    /// Why the last sweep saw no links.
    links_unseen: Option<String>,
}

/// A group of walks.
#[derive(Default)]
struct Staged {
    loaded: Option<Loaded>,
    /// It was refused, and is not tried again.
    refused: Option<Refusal>,
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
        match Loaded::new(&EVERY_SWEEP, Loops::Calls) {
            Ok(loaded) => Self::new(loaded, true),
            // No link iterator before 5.19 (9f8836127308 "bpf: Add bpf_link iterator").
            Err(error) if error.needs() == Needs::Other && !has_struct("bpf_iter__bpf_link") => {
                Self::load_without_links()
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Walks::load`] on a kernel without an iterator over links. Public for tests: both
    /// ways must find the same.
    pub fn load_without_links() -> Result<Self, Error> {
        let walks = [Walk::Maps, Walk::Progs, Walk::LinkByFd, Walk::Files];
        Self::new(Loaded::new(&walks, Loops::Calls)?, false)
    }

    fn new(every_sweep: Loaded, has_links: bool) -> Result<Self, Error> {
        let mut walks = Self {
            own: Own::default(),
            every_sweep,
            staged: Default::default(),
            file_ops: types::file_ops::default(),
            loops: Loops::Calls,
            fs_type: 0,
            has_links,
            unknown_carriers: None,
            loading: Duration::ZERO,
            loading_cpu: Duration::ZERO,
            has_dispatcher: None,
            has_mappings: None,
            links_unseen: None,
        };
        note_object(walks.every_sweep.skel.object(), &mut walks.own);
        walks.calibrate(Carriers::socket())?;
        Ok(walks)
    }

    /// What this process made in order to look.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// What our own descriptors taught us of BPF's files.
    pub(crate) fn file_ops(&self) -> &types::file_ops {
        &self.file_ops
    }

    /// Another loaded object of this process, and its links.
    pub(crate) fn note_own<'a>(
        &mut self,
        object: &libbpf_rs::Object,
        links: impl IntoIterator<Item = &'a libbpf_rs::Link>,
    ) {
        note_object(object, &mut self.own);
        for link in links {
            note_own(link.as_fd(), &mut self.own);
        }
    }

    /// An id that no program had before: what was loaded earlier has a lower one, until ids begin
    /// anew at 2^31 (`idr_alloc_cyclic`).
    pub fn fresh_prog_id(&mut self) -> io::Result<u32> {
        let id = sys::prog_id(sys::load_nothing()?.as_fd())?;
        let kind = Kind::Prog;
        self.own.insert(ObjectId { kind, id });
        Ok(id)
    }

    /// The same of a link.
    pub fn fresh_link_id(&mut self) -> io::Result<u32> {
        let link = sys::iter_link(self.every_sweep.program(Walk::Maps), None)?;
        note_own(link.as_fd(), &mut self.own);
        sys::link_id(link.as_fd())
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

    /// Time spent so far on loading the programs of costly walks.
    pub fn loading(&self) -> Duration {
        self.loading
    }

    /// Processor time spent so far on that.
    pub fn loading_cpu(&self) -> Duration {
        self.loading_cpu
    }

    /// Whether this kernel has an iterator over links (5.19). Else they are opened by their ids.
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

    /// Runs one walk; `each` gets its rows, many at a time.
    pub(crate) fn run(&mut self, walk: Walk, mut each: impl FnMut(Rows<'_>)) -> Result<(), Error> {
        let loaded = self.loaded(walk)?;
        loaded.bss().last = types::last_written::default();
        let ticks = walk
            .ticks()
            .then(|| sys::iter_over_map(loaded.skel.maps.ticks.as_fd()));
        let fail = |source| Error::Walk {
            walk: walk.name(),
            source,
        };
        let link = sys::iter_link(loaded.program(walk), ticks).map_err(fail)?;
        let file = open(&link, &mut self.own).map_err(fail)?;
        read_rows(file, &mut each).map_err(fail)
    }

    /// The global variables of the object that has this walk.
    pub(crate) fn bss_of(&mut self, walk: Walk) -> Result<&mut types::bss, Error> {
        Ok(self.loaded(walk)?.bss())
    }

    /// The object that has this walk; it is loaded if it was not.
    fn loaded(&mut self, walk: Walk) -> Result<&mut Loaded, Error> {
        let Some(group) = STAGED.iter().position(|group| group.contains(&walk)) else {
            return Ok(&mut self.every_sweep);
        };
        self.load_staged(group)?;
        Ok(self.staged[group].loaded.as_mut().expect("it is loaded"))
    }

    /// Kinds of files that may hold BPF objects, and that we could not learn to recognise.
    pub fn unknown_carriers(&self) -> &[&'static str] {
        self.unknown_carriers.as_deref().unwrap_or_default()
    }

    /// Whether this kernel has an iterator over mappings (5.12).
    pub(crate) fn has_mappings(&mut self) -> bool {
        if self.has_mappings.is_none() {
            let has = self.loaded(Walk::Mappings).is_ok() || has_struct("bpf_iter__task_vma");
            self.has_mappings = Some(has);
        }
        self.has_mappings == Some(true)
    }

    /// Why links could not be read, if so.
    pub fn links_unseen(&self) -> Option<&str> {
        self.links_unseen.as_deref()
    }

    pub(crate) fn note_links_unseen(&mut self, why: String) {
        self.links_unseen = Some(why);
    }

    /// The iterator that shows the link behind [`Walks::set_link_fd`].
    pub(crate) fn link_reader(&mut self) -> io::Result<OwnedFd> {
        let loaded = &mut self.every_sweep;
        loaded.bss().last = types::last_written::default();
        // Any array of one element: its program is then called once.
        let over = sys::iter_over_map(loaded.skel.maps.bss.as_fd());
        let link = sys::iter_link(loaded.program(Walk::LinkByFd), Some(over))?;
        note_own(link.as_fd(), &mut self.own);
        Ok(link)
    }

    /// Which of our descriptors the link reader reads.
    pub(crate) fn set_link_fd(&mut self, fd: u32) {
        self.every_sweep.bss().link_fd = fd;
    }

    /// Runs an iterator of ours once.
    pub(crate) fn read(reader: BorrowedFd<'_>, each: &mut impl FnMut(Rows<'_>)) -> io::Result<()> {
        read_rows(sys::iter_create(reader)?, each)
    }

    pub(crate) fn sockfs_type(&self) -> u64 {
        self.fs_type
    }

    /// Uses the programs for kernels without `bpf_loop` also where there is one.
    /// For tests: both must find the same.
    pub fn use_plain_loops(&mut self) {
        self.staged = Default::default();
        self.loops = Loops::Plain;
    }

    fn load_staged(&mut self, group: usize) -> Result<(), Error> {
        if self.staged[group].loaded.is_some() {
            return Ok(());
        }
        if let Some(refusal) = &self.staged[group].refused {
            return Err(refusal.error());
        }
        let (begun, cpu) = (Instant::now(), sys::processor_time());
        let result = self.load_group(group);
        self.loading += begun.elapsed();
        self.loading_cpu += sys::processor_time().saturating_sub(cpu);
        result
    }

    fn load_group(&mut self, group: usize) -> Result<(), Error> {
        let walks = STAGED[group];
        let recognises = walks.iter().any(|walk| walk.recognises_carriers());
        if recognises && self.unknown_carriers.is_none() {
            let carriers = Carriers::all();
            let mut missing = carriers.missing();
            // A kernel without CONFIG_IO_URING has none.
            missing.retain(|&kind| kind != IO_URINGS || has_struct("io_ring_ctx"));
            self.unknown_carriers = Some(missing);
            self.calibrate(carriers)?;
        }
        let mut loaded = Loaded::new(walks, self.loops);
        if loaded.is_err() && self.loops == Loops::Calls && walks.iter().any(|w| w.ticks()) {
            // No bpf_loop before 5.17 (e6f2dd0f8067 "bpf: Add bpf_loop helper").
            let plain = Loaded::new(walks, Loops::Plain);
            if plain.is_ok() {
                self.loops = Loops::Plain;
                loaded = plain;
            }
        }
        let staged = &mut self.staged[group];
        let mut loaded = loaded.inspect_err(|e| staged.refused = Some(Refusal::new(e)))?;
        loaded.bss().file_ops = self.file_ops;
        note_object(loaded.skel.object(), &mut self.own);
        staged.loaded = Some(loaded);
        Ok(())
    }

    /// Reads what our own descriptors look like to the kernel. A table of file
    /// operations is believed only as far as a file of ours has it.
    fn calibrate(&mut self, carriers: Carriers) -> Result<(), Error> {
        let failed = |source| Error::Walk {
            walk: "lastref's own descriptors",
            source,
        };
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
            carriers,
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

/// Opens an iterator of ours, and notes that its link is our own.
fn open(link: &OwnedFd, own: &mut Own) -> io::Result<OwnedFd> {
    let file = sys::iter_create(link.as_fd())?;
    note_own(link.as_fd(), own);
    Ok(file)
}

fn note_own(link: BorrowedFd<'_>, own: &mut Own) {
    let id = sys::link_id(link).ok();
    own.extend(id.map(|id| ObjectId {
        kind: Kind::Link,
        id,
    }));
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
        // Lives as long as the process, which makes one of these for each group.
        let storage = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut builder = WalksSkelBuilder::default();
        if let Some(path) = CoreBtf::of_running_kernel().and_then(CoreBtf::path) {
            builder
                .obj_builder
                .btf_custom_path(path)
                .map_err(|e| fail(&e))?;
        }
        let mut open = builder.open(storage).map_err(|e| fail(&e))?;
        let wanted: Vec<&str> = walks.iter().map(|walk| walk.program(loops)).collect();
        for mut prog in open.open_object_mut().progs_mut() {
            let name = prog.name().to_string_lossy().into_owned();
            prog.set_autoload(wanted.contains(&name.as_str()));
        }
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
        let plain = self.loops == Loops::Plain;
        match walk {
            Walk::Maps => progs.maps.as_fd(),
            Walk::Progs => progs.progs.as_fd(),
            Walk::Links => progs.links.as_fd(),
            Walk::LinkByFd => progs.link_by_fd.as_fd(),
            Walk::Files => progs.files.as_fd(),
            Walk::Mappings => progs.mappings.as_fd(),
            Walk::Carriers => progs.carriers.as_fd(),
            Walk::Pins => choose(plain, progs.pins_plain.as_fd(), progs.pins.as_fd()),
            Walk::Slots => choose(plain, progs.slots_plain.as_fd(), progs.slots.as_fd()),
            Walk::Nets => choose(plain, progs.nets_plain.as_fd(), progs.nets.as_fd()),
            Walk::Cgroups => choose(plain, progs.cgroups_plain.as_fd(), progs.cgroups.as_fd()),
            Walk::Contents => choose(plain, progs.contents_plain.as_fd(), progs.contents.as_fd()),
            Walk::MappingsListed => progs.mappings_listed.as_fd(),
            Walk::Spaces => progs.spaces.as_fd(),
            Walk::Rings => progs.rings.as_fd(),
            Walk::Children => choose(plain, progs.children_plain.as_fd(), progs.children.as_fd()),
        }
    }

    fn btf_fd(&self) -> i32 {
        btf_fd(self.skel.object())
    }
}

fn btf_fd(object: &libbpf_rs::Object) -> i32 {
    // SAFETY: the object is loaded and lives during the call.
    unsafe { libbpf_sys::bpf_object__btf_fd(object.as_libbpf_object().as_ptr()) }
}

/// Notes all that a loaded object has made: maps, programs, BTF.
fn note_object(object: &libbpf_rs::Object, own: &mut Own) {
    let mut add = |kind, id: io::Result<u32>| own.extend(id.ok().map(|id| ObjectId { kind, id }));
    for map in object.maps() {
        add(Kind::Map, sys::map_id(map.as_fd()));
    }
    for prog in object.progs().filter(ProgramImpl::autoload) {
        add(Kind::Prog, sys::prog_id(prog.as_fd()));
    }
    let btf = btf_fd(object);
    if btf >= 0 {
        // SAFETY: the descriptor belongs to the object, which outlives this call.
        let btf = unsafe { BorrowedFd::borrow_raw(btf) };
        add(Kind::Btf, sys::btf_id(btf));
    }
}

/// Why programs were not loaded, and what it would take.
pub(crate) fn load_error(error: &libbpf_rs::Error, log: String) -> Error {
    let exists = |path| std::path::Path::new(path).exists();
    let needs = if error.kind() == libbpf_rs::ErrorKind::PermissionDenied {
        // 80ee81e0403c "bpf: Eliminate rlimit-based memory accounting infra for bpf maps": until v5.11 a map had this struct.
        if sys::locked_memory_is_limited() && has_struct("bpf_map_memory") {
            Needs::LockedMemory
        } else {
            Needs::Capabilities
        }
    } else if !exists("/sys/kernel") {
        Needs::Sysfs
    } else if !exists(VMLINUX) {
        Needs::KernelBtf
    } else if !has_struct("bpf_iter__task_file") {
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
