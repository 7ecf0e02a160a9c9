//! Traces the events that clients subscribe to; clients come and go.

use labkit::RARE_EVENTS;
use libbpf_rs::{Link, MapCore, Object, ObjectBuilder, Program, ProgramMut};
use std::collections::HashSet;
use std::os::fd::AsFd;

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("trace.bpf.o"));

struct Tracer {
    object: Object,
    traced: HashSet<&'static str>,
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

    fn subscribe(&mut self, event: &'static str) -> Result<(), Error> {
        if !self.traced.insert(event) {
            return Ok(());
        }
        let program = self.program()?;
        let link = program.attach_raw_tracepoint(event)?; // LEAK links
        labkit::opened("links", link.info()?.id);
        drop(program);
        self._links.push(link); // RULE links
        Ok(())
    }

    /// Nobody wants to hear of it any more.
    fn unsubscribe(&mut self, event: &str) {
        self.traced.remove(event);
    }
}

/// One client at a time, each with an interest of its own.
#[derive(Default)]
struct Clients {
    served: usize,
}

impl Clients {
    fn interest(&self) -> &'static str {
        RARE_EVENTS[self.served % RARE_EVENTS.len()]
    }
}

fn main() -> Result<(), Error> {
    let mut tracer = Tracer::new()?;
    let mut clients = Clients::default();
    tracer.subscribe(clients.interest())?;
    labkit::serve(|| {
        tracer.unsubscribe(clients.interest());
        clients.served += 1;
        tracer
            .subscribe(clients.interest())
            .map_err(labkit::failure)
    })?;
    eprintln!("{} clients", clients.served);
    Ok(())
}
