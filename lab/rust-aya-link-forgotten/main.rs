//! Counts kernel events for each client that asks, with a program of the client's own.

use aya::maps::Array;
use aya::programs::RawTracePoint;
use aya::{include_bytes_aligned, Ebpf};
use std::mem;

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("session.bpf.o");

/// Rare ones: nobody shall notice that they are counted.
const EVENTS: [&str; 2] = ["mark_victim", "oom_score_adj_update"];

struct Session {
    ebpf: Ebpf,
    client: u32,
}

impl Session {
    fn open(client: u32) -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let program = program(&mut ebpf)?;
        program.load()?;
        let info = program.info()?;
        let maps = info.map_ids()?.unwrap_or_default();
        for event in EVENTS {
            attach(program, event)?;
            if event == EVENTS[0] {
                labkit::opened("programs", info.id());
                maps.iter().for_each(|id| labkit::opened("counters", *id));
            }
        }
        Ok(Self { ebpf, client })
    }

    fn events(&self) -> Result<u64, Error> {
        let map = self.ebpf.map("session_events").ok_or("no counter")?;
        Ok(Array::<_, u64>::try_from(map)?.get(&0, 0)?)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut RawTracePoint, Error> {
    let program = ebpf.program_mut("on_event").ok_or("no program")?;
    Ok(program.try_into()?)
}

fn attach(program: &mut RawTracePoint, event: &str) -> Result<(), Error> {
    let id = program.attach(event)?; // LEAK links
    let link = program.take_link(id)?;
    let newest = labkit::newest_link(program.info()?.id());
    labkit::opened("links", newest.ok_or("no link")?);
    // A link that is dropped detaches at once.
    mem::forget(link); // RULE links
    Ok(())
}

#[derive(Default)]
struct Server {
    served: u32,
    events: u64,
}

impl Server {
    /// A client comes, looks, and goes.
    fn step(&mut self) -> Result<(), Error> {
        self.served += 1;
        let session = Session::open(self.served)?;
        let events = session.events()?;
        eprintln!("client {}: {events} events", session.client);
        self.events += events;
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut server = Server::default();
    labkit::serve(|| server.step().map_err(labkit::failure))?;
    eprintln!("{} clients, {} events", server.served, server.events);
    Ok(())
}
