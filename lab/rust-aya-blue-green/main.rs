//! Counts kernel events; a new configuration is loaded beside the old one, which then goes.

use aya::maps::{Array, MapData};
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::RawTracePoint;
use aya::{include_bytes_aligned, Ebpf};

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("gen.bpf.o");

/// What one configuration has in the kernel. All of it goes when it is dropped.
struct Generation {
    number: u32,
    events: Array<MapData, u64>,
    _link: RawTracePointLink,
    _ebpf: Ebpf,
    ids: [(&'static str, u32); 3],
}

impl Generation {
    fn load(number: u32, event: &str) -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let events = ebpf.take_map("gen_events").ok_or("no counter")?;
        let events = Array::try_from(events)?;
        let program: &mut RawTracePoint = ebpf
            .program_mut("on_event")
            .ok_or("no program")?
            .try_into()?;
        program.load()?;
        let id = program.attach(event)?;
        let info = program.info()?;
        let maps = info.map_ids()?.unwrap_or_default();
        let ids = [
            ("program", info.id()),
            ("counter", *maps.first().ok_or("no map")?),
            ("link", labkit::newest_link(info.id()).ok_or("no link")?),
        ];
        let link = program.take_link(id)?;
        for (group, id) in ids {
            labkit::opened(group, id);
        }
        Ok(Self {
            number,
            events,
            _link: link,
            _ebpf: ebpf,
            ids,
        })
    }

    fn count(&self) -> Result<u64, Error> {
        Ok(self.events.get(&0, 0)?)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        for (group, id) in self.ids {
            labkit::closed(group, id);
        }
    }
}

struct Counter {
    current: Generation,
    before: u64,
}

impl Counter {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            current: Generation::load(0, "mark_victim")?,
            before: 0,
        })
    }

    /// No event is lost: both count for a moment.
    fn reload(&mut self) -> Result<(), Error> {
        let number = self.current.number + 1;
        let event = ["mark_victim", "oom_score_adj_update"][number as usize % 2];
        let next = Generation::load(number, event)?;
        self.before += self.current.count()?;
        self.current = next;
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut counter = Counter::new()?;
    labkit::serve(|| counter.reload().map_err(labkit::failure))?;
    let total = counter.before + counter.current.count()?;
    eprintln!("{total} events in {} generations", counter.current.number);
    Ok(())
}
