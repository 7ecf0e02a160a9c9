//! Makes a table for each client, which an exporter written against numbers reads.

use aya::maps::{Array, HashMap, Map, MapData};
use aya::{include_bytes_aligned, Ebpf};
use std::fs;
use std::os::fd::{AsFd, IntoRawFd, RawFd};

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("tables.bpf.o");

/// Knows descriptors only, as its interface to C does.
#[derive(Default)]
struct Exporter {
    tables: Vec<RawFd>,
}

impl Exporter {
    fn add(&mut self, table: RawFd) {
        self.tables.push(table);
    }

    /// How many entries the tables can take, as the kernel tells.
    fn room(&self) -> Result<u64, Error> {
        let mut room = 0;
        for fd in &self.tables {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
            let line = info.lines().find_map(|l| l.strip_prefix("max_entries:"));
            room += line.ok_or("no map")?.trim().parse::<u64>()?;
        }
        Ok(room)
    }

    fn forget(&mut self, table: RawFd) {
        self.tables.retain(|fd| *fd != table);
    }
}

struct Client {
    bytes: HashMap<MapData, u32, u64>,
    exported: RawFd,
}

impl Client {
    fn new(number: u32, exporter: &mut Exporter) -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?; // LEAK tables
        let Some(Map::HashMap(data)) = ebpf.take_map("client_bytes") else {
            return Err("no table in the object".into());
        };
        // One for us, one for the exporter.
        let exported = data.fd().as_fd().try_clone_to_owned()?.into_raw_fd(); // RULE tables
        labkit::opened("tables", data.info()?.id());
        exporter.add(exported);
        let mut bytes = HashMap::try_from(Map::HashMap(data))?;
        bytes.insert(number, 0, 0)?;
        Ok(Self { bytes, exported })
    }
}

struct Server {
    exporter: Exporter,
    totals: Array<MapData, u64>,
    clients: u32,
}

impl Server {
    fn new() -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let Some(Map::Array(data)) = ebpf.take_map("totals") else {
            return Err("no totals in the object".into());
        };
        labkit::opened("totals", data.info()?.id());
        Ok(Self {
            exporter: Exporter::default(),
            totals: Array::try_from(Map::Array(data))?,
            clients: 0,
        })
    }

    fn step(&mut self) -> Result<(), Error> {
        self.clients += 1;
        let mut client = Client::new(self.clients, &mut self.exporter)?;
        client.bytes.insert(self.clients, 1500, 0)?;
        let total = self.totals.get(&0, 0)? + client.bytes.get(&self.clients, 0)?;
        self.totals.set(0, total, 0)?;
        eprintln!("{total} bytes, room for {}", self.exporter.room()?);
        self.exporter.forget(client.exported);
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut server = Server::new()?;
    labkit::serve(|| server.step().map_err(labkit::failure))
}
