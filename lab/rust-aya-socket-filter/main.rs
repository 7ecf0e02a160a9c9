//! Receives metrics on a socket for each tenant, and counts the datagrams in the kernel.

use aya::maps::{Array, MapData};
use aya::programs::SocketFilter;
use aya::{include_bytes_aligned, Ebpf};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("tap.bpf.o");

/// Counts on a socket while it is there.
struct Tap {
    datagrams: Array<MapData, u64>,
    _ebpf: Ebpf,
}

impl Tap {
    fn new(socket: &UdpSocket) -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let datagrams = Array::try_from(ebpf.take_map("datagrams").ok_or("no counter")?)?;
        let filter: &mut SocketFilter = ebpf.program_mut("tap").ok_or("no filter")?.try_into()?;
        filter.load()?;
        let info = filter.info()?;
        let maps = info.map_ids()?.unwrap_or_default();
        filter.attach(socket)?; // LEAK filters
        labkit::opened("filters", info.id());
        maps.iter().for_each(|id| labkit::opened("counters", *id));
        Ok(Self {
            datagrams,
            _ebpf: ebpf,
        })
    }

    fn count(&self) -> Result<u64, Error> {
        Ok(self.datagrams.get(&0, 0)?)
    }
}

struct Tenant {
    name: String,
    socket: UdpSocket,
    tap: Option<Tap>,
}

impl Tenant {
    fn new(number: u32) -> Result<Self, Error> {
        let socket = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0)))?;
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let tap = Tap::new(&socket)?;
        Ok(Self {
            name: format!("tenant-{number}"),
            socket,
            tap: Some(tap),
        })
    }

    /// Still received, and not counted any more.
    fn stop_counting(&mut self) -> Result<u64, Error> {
        match self.tap.take() {
            Some(tap) => tap.count(),
            None => Ok(0),
        }
    }
}

#[derive(Default)]
struct Receiver {
    tenants: Vec<Tenant>,
    counted: u64,
}

impl Receiver {
    /// A tenant comes; of those before only what they send is received.
    fn step(&mut self) -> Result<(), Error> {
        let number = self.tenants.len() as u32;
        let mut tenant = Tenant::new(number)?;
        self.counted += tenant.stop_counting()?;
        eprintln!("{} on {}", tenant.name, tenant.socket.local_addr()?);
        self.tenants.push(tenant);
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut receiver = Receiver::default();
    labkit::serve(|| receiver.step().map_err(labkit::failure))?;
    eprintln!("{} datagrams", receiver.counted);
    Ok(())
}
