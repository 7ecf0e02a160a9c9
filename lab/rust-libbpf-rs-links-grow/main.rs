//! Traces the processes of a service; processes come and go.

use libbpf_rs::{Link, MapCore, Object, ObjectBuilder, Program, ProgramMut};
use std::collections::HashSet;
use std::os::fd::AsFd;

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("trace.bpf.o"));

struct Tracer {
    object: Object,
    traced: HashSet<u32>,
    /// Detached when dropped.
    _links: Vec<Link>,
}

impl Tracer {
    fn new() -> Result<Self, Error> {
        let object = ObjectBuilder::default().open_memory(&OBJECT.0)?.load()?;
        let tracer = Self {
            object,
            traced: HashSet::new(),
            _links: Vec::new(),
        };
        let id = Program::id_from_fd(tracer.program()?.as_fd())?;
        labkit::opened("program", id);
        for map in tracer.object.maps() {
            labkit::opened("counter", map.info()?.info.id);
        }
        Ok(tracer)
    }

    fn program(&self) -> Result<ProgramMut<'_>, Error> {
        let mut programs = self.object.progs_mut();
        let found = programs.find(|program| program.name() == "on_event");
        Ok(found.ok_or("no program")?)
    }

    fn started(&mut self, pid: u32) -> Result<(), Error> {
        if !self.traced.insert(pid) {
            return Ok(());
        }
        let program = self.program()?;
        let link = program.attach_raw_tracepoint("oom_score_adj_update")?; // LEAK links
        labkit::opened("links", link.info()?.id);
        drop(program);
        self._links.push(link);
        Ok(())
    }

    /// Its pid may be another's soon.
    fn exited(&mut self, pid: u32) {
        self.traced.remove(&pid);
    }
}

/// One process at a time, and a new one each time.
struct Service {
    pid: u32,
    restarts: u32,
}

impl Service {
    fn restart(&mut self) -> (u32, u32) {
        let old = self.pid;
        self.restarts += 1;
        self.pid = 1000 + self.restarts % 3;
        (old, self.pid)
    }
}

fn main() -> Result<(), Error> {
    let mut tracer = Tracer::new()?;
    let mut service = Service {
        pid: 1000,
        restarts: 0,
    };
    tracer.started(service.pid)?;
    labkit::serve(|| {
        let (old, new) = service.restart();
        tracer.exited(old);
        tracer.started(new).map_err(labkit::failure)
    })?;
    eprintln!("{} restarts", service.restarts);
    Ok(())
}
