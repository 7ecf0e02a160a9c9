//! Answers requests to count kernel events for a moment, each in a thread of its own.

use libbpf_rs::{Link, Map, MapCore, MapFlags, Object, ObjectBuilder, Program};
use std::os::fd::AsFd;
use std::thread;

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("probe.bpf.o"));

/// Borrows from an object, which has to be there for as long.
struct Probe<'a> {
    hits: Map<'a>,
    _link: Link,
}

impl<'a> Probe<'a> {
    fn new(object: &'a Object, event: &str) -> Result<Self, Error> {
        let program = object.progs_mut().find(|p| p.name() == "on_probe");
        let program = program.ok_or("no program")?;
        let hits = object.maps().find(|map| map.name() == "probe_hits");
        let hits = hits.ok_or("no counter")?;
        labkit::opened("programs", Program::id_from_fd(program.as_fd())?);
        labkit::opened("counters", hits.info()?.info.id);
        let link = program.attach_raw_tracepoint(event)?;
        Ok(Self { hits, _link: link })
    }

    fn hits(&self) -> Result<u64, Error> {
        let value = self.hits.lookup(&0u32.to_ne_bytes(), MapFlags::ANY)?;
        let value = value.ok_or("an array has all its entries")?;
        Ok(u64::from_ne_bytes(value.as_slice().try_into()?))
    }
}

/// For a thread, which must not borrow from what may go before it.
fn load() -> Result<&'static Object, Error> {
    let open = ObjectBuilder::default().open_memory(&OBJECT.0)?;
    let object = open.load()?; // LEAK programs
    Ok(Box::leak(Box::new(object))) // RULE programs
}

#[derive(Default)]
struct Server {
    requests: u32,
    hits: u64,
}

impl Server {
    fn serve(&mut self, event: &'static str) -> Result<(), Error> {
        let object = Shared(load()?);
        let worker = thread::spawn(move || count(object, event).map_err(|e| format!("{e:#}")));
        self.requests += 1;
        self.hits += worker.join().map_err(|_| "a worker panicked")??;
        Ok(())
    }
}

fn count(object: Shared, event: &str) -> Result<u64, Error> {
    Probe::new(object.0, event)?.hits()
}

/// One thread at a time uses it.
struct Shared(&'static Object);

// SAFETY: whoever sends it does not use it any more.
unsafe impl Send for Shared {}

fn main() -> Result<(), Error> {
    let mut server = Server::default();
    labkit::serve(|| {
        server
            .serve("oom_score_adj_update")
            .map_err(labkit::failure)
    })?;
    eprintln!("{} requests, {} hits", server.requests, server.hits);
    Ok(())
}
