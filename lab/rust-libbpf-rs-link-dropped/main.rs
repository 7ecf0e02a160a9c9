//! Counts what the kernel kills for want of memory.

use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder, Program, ProgramMut};
use std::os::fd::AsFd;

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("oom.bpf.o"));

struct Counter {
    object: Object,
    kills: u64,
    silent: u32,
}

impl Counter {
    fn new() -> Result<Self, Error> {
        let object = ObjectBuilder::default().open_memory(&OBJECT.0)?.load()?;
        let counter = Self {
            object,
            kills: 0,
            silent: 0,
        };
        let id = Program::id_from_fd(counter.program()?.as_fd())?;
        labkit::opened("program", id);
        for map in counter.object.maps() {
            labkit::opened("counter", map.info()?.info.id);
        }
        Ok(counter)
    }

    fn program(&self) -> Result<ProgramMut<'_>, Error> {
        let mut programs = self.object.progs_mut();
        let found = programs.find(|program| program.name() == "on_oom");
        Ok(found.ok_or("no program")?)
    }

    /// Counts from now on.
    fn start(&self) -> Result<(), Error> {
        let program = self.program()?;
        let info = program.attach_raw_tracepoint("mark_victim")?.info()?; // DROPPED links
        labkit::opened("links", info.id);
        labkit::closed("links", info.id);
        eprintln!("link {} of program {}", info.id, info.prog_id);
        Ok(())
    }

    fn read(&self) -> Result<u64, Error> {
        let mut maps = self.object.maps();
        let map = maps.find(|map| map.name() == "oom_kills");
        let map = map.ok_or("no counter")?;
        let value = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY)?;
        let value = value.ok_or("an array has all its entries")?;
        Ok(u64::from_ne_bytes(value.as_slice().try_into()?))
    }

    /// Nothing counted since the last time: perhaps it is not attached.
    fn step(&mut self) -> Result<(), Error> {
        let kills = self.read()?;
        if kills == self.kills {
            self.silent += 1;
            self.start()?;
        }
        self.kills = kills;
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut counter = Counter::new()?;
    counter.start()?;
    labkit::serve(|| counter.step().map_err(labkit::failure))?;
    eprintln!("silent {} times", counter.silent);
    Ok(())
}
