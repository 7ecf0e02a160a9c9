//! Keeps a probe attached by a pin for each policy, so that it works on while the agent restarts.

use aya::programs::links::FdLink;
use aya::programs::RawTracePoint;
use aya::{include_bytes_aligned, Ebpf};
use labkit::RARE_EVENTS;
use std::collections::VecDeque;
use std::fs;
use std::mem;
use std::path::PathBuf;

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("guard.bpf.o");

/// How many policies are in force at once.
const LIMIT: usize = 3;

/// About one event.
struct Policy {
    pin: PathBuf,
    link: u32,
}

struct Guard {
    ebpf: Ebpf,
    policies: VecDeque<Policy>,
    next: u32,
}

impl Guard {
    fn new() -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let program = program(&mut ebpf)?;
        program.load()?;
        let info = program.info()?;
        labkit::opened("program", info.id());
        for id in info.map_ids()?.into_iter().flatten() {
            labkit::opened("counter", id);
        }
        let mut guard = Self {
            ebpf,
            policies: VecDeque::new(),
            next: 0,
        };
        while guard.policies.len() < LIMIT {
            guard.add()?;
        }
        Ok(guard)
    }

    fn add(&mut self) -> Result<(), Error> {
        self.next += 1;
        let pin = PathBuf::from(format!("/sys/fs/bpf/policy_{}", self.next));
        let program = program(&mut self.ebpf)?;
        let event = RARE_EVENTS[self.next as usize % RARE_EVENTS.len()];
        let id = program.attach(event)?; // LEAK links
        let link = labkit::newest_link(program.info()?.id()).ok_or("no link")?;
        let pinned = FdLink::from(program.take_link(id)?).pin(&pin)?;
        // It is the pin's from now on.
        mem::forget(pinned); // RULE links
        labkit::opened("pinned", link);
        self.policies.push_back(Policy { pin, link });
        Ok(())
    }

    /// Removes the oldest policy. Without its pin it is detached.
    fn remove(&mut self) -> Result<(), Error> {
        let Some(policy) = self.policies.pop_front() else {
            return Ok(());
        };
        fs::remove_file(&policy.pin)?;
        labkit::closed("pinned", policy.link);
        labkit::opened("links", policy.link);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Error> {
        self.add()?;
        self.remove()
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut RawTracePoint, Error> {
    let program = ebpf.program_mut("guard_event").ok_or("no program")?;
    Ok(program.try_into()?)
}

fn main() -> Result<(), Error> {
    let mut guard = Guard::new()?;
    labkit::serve(|| guard.step().map_err(labkit::failure))?;
    while !guard.policies.is_empty() {
        guard.remove()?;
    }
    Ok(())
}
