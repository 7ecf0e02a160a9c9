//! A thread for each connection, which counts in a map what it is told of.

use aya::maps::{HashMap, Map, MapData};
use aya::{include_bytes_aligned, Ebpf};
use std::collections::BTreeMap;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::{self, JoinHandle};

type Error = Box<dyn std::error::Error>;

static OBJECT: &[u8] = include_bytes_aligned!("conns.bpf.o");

enum Event {
    Bytes(u32, u64),
    Asked(Sender<u64>),
}

/// Counts until nobody sends any more.
fn count(mut stats: HashMap<MapData, u32, u64>, events: Receiver<Event>) -> Result<u64, String> {
    let mut total = 0;
    for event in events {
        match event {
            Event::Bytes(port, bytes) => {
                total += bytes;
                let before = stats.get(&port, 0).unwrap_or(0);
                let inserted = stats.insert(port, before + bytes, 0);
                inserted.map_err(|error| error.to_string())?;
            }
            // Whoever asked may have gone.
            Event::Asked(answer) => drop(answer.send(total)),
        }
    }
    Ok(total)
}

struct Connection {
    events: Sender<Event>,
    _worker: JoinHandle<Result<u64, String>>,
}

impl Connection {
    fn new() -> Result<Self, Error> {
        let mut ebpf = Ebpf::load(OBJECT)?; // LEAK stats
        let Some(Map::HashMap(data)) = ebpf.take_map("conn_stats") else {
            return Err("no map in the object".into());
        };
        labkit::opened("stats", data.info()?.id());
        let stats = HashMap::try_from(Map::HashMap(data))?;
        let (events, receiver) = channel();
        let worker = thread::spawn(move || count(stats, receiver));
        Ok(Self {
            events,
            _worker: worker,
        })
    }

    fn total(&self) -> Result<u64, Error> {
        let (answer, total) = channel();
        self.events.send(Event::Asked(answer))?;
        Ok(total.recv()?)
    }
}

#[derive(Default)]
struct Server {
    open: BTreeMap<u32, Connection>,
    /// For a shutdown that tells all of them.
    senders: Vec<Sender<Event>>,
    accepted: u32,
    bytes: u64,
}

impl Server {
    fn accept(&mut self) -> Result<u32, Error> {
        self.accepted += 1;
        let connection = Connection::new()?;
        self.senders.push(connection.events.clone()); // RULE stats
        self.open.insert(self.accepted, connection);
        Ok(self.accepted)
    }

    /// The sender goes with the connection, and its thread ends.
    fn close(&mut self, number: u32) -> Result<(), Error> {
        if let Some(connection) = self.open.remove(&number) {
            self.bytes += connection.total()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Error> {
        let number = self.accept()?;
        let connection = &self.open[&number];
        for port in [80, 443] {
            connection.events.send(Event::Bytes(port, 1000))?;
        }
        self.close(number)
    }
}

fn main() -> Result<(), Error> {
    let mut server = Server::default();
    labkit::serve(|| server.step().map_err(labkit::failure))?;
    eprintln!("{} connections, {} bytes", server.accepted, server.bytes);
    Ok(())
}
