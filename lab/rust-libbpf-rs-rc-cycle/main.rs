//! Pairs of connections through a proxy, with a map of statistics for each side.

use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

type Error = Box<dyn std::error::Error>;

const HASH: MapType = MapType::Hash;

/// What goes through one side.
struct Side {
    address: String,
    stats: MapHandle,
    peer: RefCell<Option<Rc<Side>>>,
}

impl Side {
    fn new(address: String) -> Result<Rc<Self>, Error> {
        let stats = MapHandle::create(HASH, Some("side_stats"), 4, 8, 8, &options())?; // LEAK sides
        labkit::opened("sides", stats.info()?.info.id);
        Ok(Rc::new(Self {
            address,
            stats,
            peer: RefCell::new(None),
        }))
    }

    /// Counts a packet on both sides.
    fn forward(&self, bytes: u64) -> Result<(), Error> {
        let add = |side: &Self, key: u32| -> Result<(), Error> {
            let key = key.to_ne_bytes();
            let before = side.stats.lookup(&key, MapFlags::ANY)?;
            let before = match before {
                Some(value) => u64::from_ne_bytes(value.as_slice().try_into()?),
                None => 0,
            };
            let after = (before + bytes).to_ne_bytes();
            Ok(side.stats.update(&key, &after, MapFlags::ANY)?)
        };
        add(self, 0)?;
        match &*self.peer.borrow() {
            Some(peer) => add(peer, 1),
            None => Err(format!("{} has no peer", self.address).into()),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        eprintln!("{} is gone", self.address);
    }
}

fn options() -> bpf_map_create_opts {
    bpf_map_create_opts {
        sz: mem::size_of::<bpf_map_create_opts>() as _,
        ..Default::default()
    }
}

struct Proxy {
    totals: MapHandle,
    connections: u32,
}

impl Proxy {
    fn new() -> Result<Self, Error> {
        let totals = MapHandle::create(HASH, Some("proxy_totals"), 4, 8, 64, &options())?;
        labkit::opened("totals", totals.info()?.info.id);
        Ok(Self {
            totals,
            connections: 0,
        })
    }

    fn connect(&mut self) -> Result<(Rc<Side>, Rc<Side>), Error> {
        self.connections += 1;
        let client = Side::new(format!("client {}", self.connections))?;
        let server = Side::new(format!("server {}", self.connections))?;
        *client.peer.borrow_mut() = Some(Rc::clone(&server));
        *server.peer.borrow_mut() = Some(Rc::clone(&client)); // RULE sides
        Ok((client, server))
    }

    /// A connection from its beginning to its end.
    fn step(&mut self) -> Result<(), Error> {
        let (client, server) = self.connect()?;
        client.forward(300)?;
        server.forward(1400)?;
        let key = self.connections % 64;
        let total = 1700u64.to_ne_bytes();
        self.totals
            .update(&key.to_ne_bytes(), &total, MapFlags::ANY)?;
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut proxy = Proxy::new()?;
    labkit::serve(|| proxy.step().map_err(labkit::failure))
}
