//! Tells how often programs ran, for a display that is refreshed now and then.

use libbpf_rs::{Link, MapCore, Object, ObjectBuilder, Program};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, IntoRawFd, RawFd};

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("tap.bpf.o"));

/// The program that is looked at.
struct Tap {
    object: Object,
    _link: Link,
    id: u32,
}

impl Tap {
    fn new() -> Result<Self, Error> {
        let object = ObjectBuilder::default().open_memory(&OBJECT.0)?.load()?;
        let program = object.progs_mut().find(|p| p.name() == "on_event");
        let program = program.ok_or("no program")?;
        let id = Program::id_from_fd(program.as_fd())?;
        let link = program.attach_raw_tracepoint("oom_score_adj_update")?;
        labkit::opened("program", id);
        labkit::opened("link", link.info()?.id);
        drop(program);
        Ok(Self {
            object,
            _link: link,
            id,
        })
    }
}

/// What the kernel tells of a descriptor, which no call of the library does.
fn describe(fd: RawFd) -> Result<BTreeMap<String, String>, Error> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let owned = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(owned.collect())
}

fn lost(id: u32) -> Result<u64, Error> {
    let fd = Program::fd_from_id(id)?.into_raw_fd(); // LEAK looks
    labkit::opened("looks", id);
    let fields = describe(fd)?;
    let misses = fields.get("recursion_misses").ok_or("an old kernel")?;
    Ok(misses.parse()?)
}

#[derive(Default)]
struct Display {
    lost: BTreeMap<u32, u64>,
    refreshed: u32,
}

impl Display {
    fn refresh(&mut self, tap: &Tap) -> Result<(), Error> {
        self.lost.insert(tap.id, lost(tap.id)?);
        self.refreshed += 1;
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let tap = Tap::new()?;
    for map in tap.object.maps() {
        labkit::opened("counter", map.info()?.info.id);
    }
    let mut display = Display::default();
    labkit::serve(|| display.refresh(&tap).map_err(labkit::failure))?;
    eprintln!("{:?} after {} times", display.lost, display.refreshed);
    Ok(())
}
