//! Sees which ports are asked for in the network namespaces of pods.

use libbpf_rs::{Link, MapCore, Object, ObjectBuilder, Program, ProgramMut};
use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::{channel, Sender};
use std::thread::{self, JoinHandle};

type Error = Box<dyn std::error::Error>;

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("steer.bpf.o"));

/// How many pods a node has at once.
const ROOM: usize = 3;

extern "C" {
    fn unshare(flags: c_int) -> c_int;
}
const CLONE_NEWNET: c_int = 0x4000_0000;

/// Lives as long as the thread that has its namespace.
struct Pod {
    name: String,
    netns: File,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Pod {
    fn start(number: u32) -> Result<Self, Error> {
        let (stop, stopped) = channel();
        let (ready, netns) = channel();
        let thread = thread::spawn(move || {
            // SAFETY: it takes a number, and changes this thread only.
            let opened = match unsafe { unshare(CLONE_NEWNET) } {
                0 => File::open("/proc/thread-self/ns/net"),
                _ => Err(io::Error::last_os_error()),
            };
            if ready.send(opened).is_ok() {
                // Until whoever has the other end lets go.
                let _ = stopped.recv();
            }
        });
        Ok(Self {
            name: format!("pod-{number}"),
            netns: netns.recv()??,
            stop,
            thread,
        })
    }

    fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        self.thread.join().map_err(|_| "a pod panicked".into())
    }
}

struct Agent {
    object: Object,
    /// By namespace and name, as pods of two namespaces may have the same.
    links: HashMap<String, Link>,
}

impl Agent {
    fn new() -> Result<Self, Error> {
        let object = ObjectBuilder::default().open_memory(&OBJECT.0)?.load()?;
        let agent = Self {
            object,
            links: HashMap::new(),
        };
        let id = Program::id_from_fd(agent.program()?.as_fd())?;
        labkit::opened("program", id);
        for map in agent.object.maps() {
            labkit::opened("steered", map.info()?.info.id);
        }
        Ok(agent)
    }

    fn program(&self) -> Result<ProgramMut<'_>, Error> {
        let mut programs = self.object.progs_mut();
        let found = programs.find(|program| program.name() == "steer");
        Ok(found.ok_or("no program")?)
    }

    fn started(&mut self, pod: &Pod) -> Result<(), Error> {
        let netns = pod.netns.as_raw_fd();
        let link = self.program()?.attach_netns(netns)?; // LEAK links
        labkit::opened("links", link.info()?.id);
        self.links.insert(format!("default/{}", pod.name), link); // RULE links
        Ok(())
    }

    fn stopped(&mut self, name: &str) {
        self.links.remove(name);
    }
}

struct Node {
    agent: Agent,
    pods: VecDeque<Pod>,
    started: u32,
}

impl Node {
    /// Starts a pod, and stops the oldest if there are too many.
    fn step(&mut self) -> Result<(), Error> {
        self.started += 1;
        let pod = Pod::start(self.started)?;
        self.agent.started(&pod)?;
        self.pods.push_back(pod);
        while self.pods.len() > ROOM {
            if let Some(oldest) = self.pods.pop_front() {
                self.agent.stopped(&oldest.name);
                oldest.stop()?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut node = Node {
        agent: Agent::new()?,
        pods: VecDeque::new(),
        started: 0,
    };
    node.step()?;
    labkit::serve(|| node.step().map_err(labkit::failure))
}
