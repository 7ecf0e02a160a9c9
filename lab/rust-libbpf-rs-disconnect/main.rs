//! Installs audit probes that go on when the installer exits, and takes old ones out.

use labkit::RARE_EVENTS;
use libbpf_rs::{MapCore, Object, ObjectBuilder, Program, ProgramMut};
use std::collections::VecDeque;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("audit.bpf.o"));

/// How many are installed at once.
const INSTALLED: usize = 2;

struct Probe {
    pin: PathBuf,
    link: u32,
}

struct Installer {
    object: Object,
    probes: VecDeque<Probe>,
    next: u32,
}

impl Installer {
    fn new() -> Result<Self, Error> {
        let object = ObjectBuilder::default().open_memory(&OBJECT.0)?.load()?;
        let installer = Self {
            object,
            probes: VecDeque::new(),
            next: 0,
        };
        let id = Program::id_from_fd(installer.program()?.as_fd())?;
        labkit::opened("program", id);
        for map in installer.object.maps() {
            labkit::opened("counter", map.info()?.info.id);
        }
        Ok(installer)
    }

    fn program(&self) -> Result<ProgramMut<'_>, Error> {
        let mut programs = self.object.progs_mut();
        let found = programs.find(|program| program.name() == "on_audit");
        Ok(found.ok_or("no program")?)
    }

    fn install(&mut self) -> Result<(), Error> {
        self.next += 1;
        let pin = PathBuf::from(format!("/sys/fs/bpf/audit_{}", self.next));
        let event = RARE_EVENTS[self.next as usize % RARE_EVENTS.len()];
        let mut link = self.program()?.attach_raw_tracepoint(event)?; // LEAK links
        link.pin(&pin)?;
        let id = link.info()?.id;
        // It shall outlive us.
        link.disconnect(); // RULE links
        labkit::opened("installed", id);
        self.probes.push_back(Probe { pin, link: id });
        Ok(())
    }

    fn remove_oldest(&mut self) -> Result<(), Error> {
        if let Some(probe) = self.probes.pop_front() {
            fs::remove_file(&probe.pin)?;
            labkit::closed("installed", probe.link);
            labkit::opened("links", probe.link);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Error> {
        self.install()?;
        while self.probes.len() > INSTALLED {
            self.remove_oldest()?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut installer = Installer::new()?;
    for _ in 0..INSTALLED {
        installer.install()?;
    }
    labkit::serve(|| installer.step().map_err(labkit::failure))
}
