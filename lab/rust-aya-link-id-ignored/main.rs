//! Watches kernel events that a configuration names, and reads it again when it is told to.

use aya::maps::{Array, MapData};
use aya::programs::RawTracePoint;
use aya::{include_bytes_aligned, Ebpf};
use labkit::RARE_EVENTS;
use std::collections::BTreeSet;

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("watch.bpf.o");

struct Config {
    events: BTreeSet<&'static str>,
    verbose: bool,
}

impl Config {
    /// As it is on the disk by now.
    fn read(version: u32) -> Self {
        Self {
            events: BTreeSet::from([RARE_EVENTS[version as usize % RARE_EVENTS.len()]]),
            verbose: version % 4 == 3,
        }
    }
}

struct Watcher {
    ebpf: Ebpf,
    watched: Array<MapData, u64>,
    version: u32,
}

impl Watcher {
    fn new() -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let watched = Array::try_from(ebpf.take_map("watched").ok_or("no counter")?)?;
        let program: &mut RawTracePoint = ebpf
            .program_mut("on_event")
            .ok_or("no program")?
            .try_into()?;
        program.load()?;
        let info = program.info()?;
        labkit::opened("program", info.id());
        for id in info.map_ids()?.into_iter().flatten() {
            labkit::opened("counter", id);
        }
        Ok(Self {
            ebpf,
            watched,
            version: 0,
        })
    }

    /// Attaches what the configuration names. What was attached before belongs to the old one.
    fn apply(&mut self, config: &Config) -> Result<(), Error> {
        let program: &mut RawTracePoint = self
            .ebpf
            .program_mut("on_event")
            .ok_or("no program")?
            .try_into()?;
        for event in &config.events {
            program.attach(event)?; // LEAK links
            let link = labkit::newest_link(program.info()?.id());
            labkit::opened("links", link.ok_or("no link")?);
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<(), Error> {
        self.version += 1;
        let config = Config::read(self.version);
        self.apply(&config)?;
        if config.verbose {
            eprintln!("{:?}, {} so far", config.events, self.watched.get(&0, 0)?);
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut watcher = Watcher::new()?;
    watcher.apply(&Config::read(0))?;
    labkit::serve(|| watcher.reload().map_err(labkit::failure))
}
