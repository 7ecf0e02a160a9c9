//! One of each kind of holder, made for real with the fixtures of the tests from outside. Each is
//! the work of a child process, and goes with it.
//!
//! Where a holder can be the only one, it is: the descriptor that made it is closed.

use e2e::bpf::{
    self, F_MMAPABLE, LinkDetail, MapSpec, Object, ProgSpec, attach_type, map_type, prog_type,
};
use e2e::files::{Cgroup, private_bpffs, private_mounts};
use e2e::net::{self, Chain, LOOPBACK, Place, XdpMode};
use e2e::process::map_memory;
use e2e::scene::{Child, Inherit, Outcome, Stop};
use e2e::sockmap::Slot;
use e2e::uring::Ring;
use e2e::{insn, object_file, perf, sockets, sockmap, struct_ops, unix};
use std::any::Any;
use std::os::fd::AsRawFd as _;

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`
const PERF_EVENT_ARRAY: u32 = 4;

/// What a child has to keep until it is told to end.
pub type Keep = Vec<Box<dyn Any>>;

/// A kind of holder.
pub struct Kind {
    /// The word in `references[].by`, and what it is.
    pub name: &'static str,
    make: fn(&mut Keep) -> Outcome,
}

/// All, the ones that every sweep sees first.
pub const KINDS: [Kind; 26] = [
    kind("fd: one descriptor", fd),
    kind("fd: shared by two processes", shared),
    kind("prog: a program's map", prog),
    kind("link: raw tracepoint", link),
    kind("link: XDP", link_xdp),
    kind("iterator: an open file", iterator),
    kind("pin", pin),
    kind("mmap: no descriptor left", mmap),
    kind("outer-map", outer),
    kind("prog-array", prog_array),
    kind("attachment: cgroup", cgroup),
    kind("attachment: XDP", xdp),
    kind("attachment: tc filter", tc),
    kind("attachment: tcx", tcx),
    kind("attachment: flow dissector", dissector),
    kind("attachment: lwt route", lwt),
    kind("attachment: perf event", perf_event),
    kind("attachment: perf event in a map", perf_event_array),
    kind("socket: SO_ATTACH_BPF", filter),
    kind("socket: reuseport, fanout", groups),
    kind("socket, map-entry: sockmap", members),
    kind("map-entry: devmap", devmap),
    kind("map-entry: xskmap", xskmap),
    kind("struct-ops: registered, no link", registered),
    kind("timer", timer),
    kind("in-flight, io-uring", outside),
];

const fn kind(name: &'static str, make: fn(&mut Keep) -> Outcome) -> Kind {
    Kind { name, make }
}

impl Kind {
    /// Makes one. An error says why this kernel has none.
    pub fn start(&self) -> Result<Child, Stop> {
        let make = self.make;
        Child::start(Inherit::Nothing, move |stage| {
            let mut keep = Keep::new();
            make(&mut keep)?;
            stage.ready(serde_json::Value::Null)?;
            drop(keep);
            Ok(())
        })
    }
}

fn fd(keep: &mut Keep) -> Outcome {
    keep.push(Box::new(bpf::hash("bench_fd")?));
    Ok(())
}

fn shared(keep: &mut Keep) -> Outcome {
    let map = bpf::hash("bench_shared")?;
    let child = Child::start(Inherit::All, |stage| stage.ready(serde_json::Value::Null))?;
    keep.push(Box::new((child, map)));
    Ok(())
}

fn prog(keep: &mut Keep) -> Outcome {
    let map = bpf::hash("bench_used")?;
    keep.push(Box::new(bpf::filter_using("bench_user", &[&map])?));
    Ok(())
}

fn link(keep: &mut Keep) -> Outcome {
    let insns = insn::returns(0);
    let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, "bench_raw_tp", insns).load()?;
    let link = bpf::raw_tracepoint(&prog, Some("sched_kthread_stop"))?;
    keep.push(Box::new(link));
    Ok(())
}

fn iterator(keep: &mut Keep) -> Outcome {
    let walker = bpf::iterator("bench_iter", "bpf_map")?;
    let link = bpf::iterator_link(&walker, None)?;
    keep.push(Box::new(bpf::open_iterator(&link)?));
    Ok(())
}

fn pin(keep: &mut Keep) -> Outcome {
    let bpffs = private_bpffs()?;
    bpf::hash("bench_pinned")?.pin(&bpffs.join("map"))?;
    keep.push(Box::new(bpffs));
    Ok(())
}

fn mmap(_: &mut Keep) -> Outcome {
    let map = MapSpec::new(map_type::ARRAY, "bench_mapped").flags(F_MMAPABLE);
    map_memory(&map.create()?, 4096)?;
    Ok(())
}

fn outer(keep: &mut Keep) -> Outcome {
    let inner = bpf::hash("bench_inner")?;
    let outer = bpf::outer(map_type::HASH_OF_MAPS, "bench_outer", 0, &inner)?;
    bpf::put(&outer, 7, &inner)?;
    keep.push(Box::new(outer));
    Ok(())
}

fn prog_array(keep: &mut Keep) -> Outcome {
    let tails = bpf::prog_array("bench_tails")?;
    bpf::put(&tails, 0, &bpf::filter("bench_tail")?)?;
    keep.push(Box::new(tails));
    Ok(())
}

fn attachable(of_type: u32, kind: u32, name: &str, returns: i32) -> Outcome<Object> {
    let spec = ProgSpec::new(of_type, name, insn::returns(returns)).attach(kind);
    Ok(spec.load()?)
}

fn cgroup(keep: &mut Keep) -> Outcome {
    const KIND: u32 = attach_type::CGROUP_INET_INGRESS;
    private_mounts()?;
    let cgroup = Cgroup::new()?;
    let prog = attachable(prog_type::CGROUP_SKB, KIND, "bench_cgroup", 1)?;
    bpf::attach(&prog, cgroup.fd.as_raw_fd() as u32, KIND, 0)?;
    keep.push(Box::new(cgroup));
    Ok(())
}

fn xdp_prog(kind: u32, name: &str) -> Outcome<Object> {
    attachable(prog_type::XDP, kind, name, 2)
}

fn link_xdp(keep: &mut Keep) -> Outcome {
    net::private()?;
    let prog = xdp_prog(attach_type::XDP, "bench_xdp_link")?;
    let generic = XdpMode::Generic as u32;
    let detail = LinkDetail::default();
    let link = bpf::link(&prog, LOOPBACK, attach_type::XDP, generic, detail)?;
    keep.push(Box::new(link));
    Ok(())
}

fn xdp(_: &mut Keep) -> Outcome {
    net::private()?;
    let prog = xdp_prog(attach_type::XDP, "bench_xdp")?;
    net::set_xdp(LOOPBACK, &prog, XdpMode::Generic)?;
    Ok(())
}

fn tc(_: &mut Keep) -> Outcome {
    net::private()?;
    net::clsact(LOOPBACK)?;
    let prog = attachable(prog_type::SCHED_CLS, 0, "bench_tc", 0)?;
    net::filter(Place::ClsactIngress(LOOPBACK), Chain(1, None), &prog)?;
    Ok(())
}

fn tcx(_: &mut Keep) -> Outcome {
    const KIND: u32 = attach_type::TCX_INGRESS;
    net::private()?;
    let prog = attachable(prog_type::SCHED_CLS, KIND, "bench_tcx", -1)?;
    bpf::attach(&prog, LOOPBACK, KIND, 0)?;
    Ok(())
}

fn dissector(_: &mut Keep) -> Outcome {
    const KIND: u32 = attach_type::FLOW_DISSECTOR;
    net::private()?;
    let prog = attachable(prog_type::FLOW_DISSECTOR, KIND, "bench_dissect", 0)?;
    bpf::attach(&prog, 0, KIND, 0)?;
    Ok(())
}

fn lwt(_: &mut Keep) -> Outcome {
    net::private()?;
    net::up(LOOPBACK)?;
    let prog = attachable(prog_type::LWT_XMIT, 0, "bench_lwt", 0)?;
    let to = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
    net::route(to, LOOPBACK, &[(net::Hook::Xmit, &prog)])?;
    Ok(())
}

fn on_event(name: &str) -> Outcome<impl std::os::fd::AsRawFd + 'static> {
    let prog = ProgSpec::new(prog_type::PERF_EVENT, name, insn::returns(0)).load()?;
    let event = perf::event(perf::SOFTWARE, perf::DUMMY)?;
    perf::attach(&event, &prog)?;
    Ok(event)
}

fn perf_event(keep: &mut Keep) -> Outcome {
    keep.push(Box::new(on_event("bench_perf")?));
    Ok(())
}

fn perf_event_array(keep: &mut Keep) -> Outcome {
    let array = MapSpec::new(PERF_EVENT_ARRAY, "bench_events").create()?;
    bpf::put(&array, 0, &on_event("bench_perf_map")?)?;
    keep.push(Box::new(array));
    Ok(())
}

fn socket_filter(name: &str) -> Outcome<Object> {
    let insns = insn::returns(sockets::KEEP);
    Ok(ProgSpec::new(prog_type::SOCKET_FILTER, name, insns).load()?)
}

fn filter(keep: &mut Keep) -> Outcome {
    let socket = unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    sockets::attach_filter(&socket, &socket_filter("bench_filter")?)?;
    keep.push(Box::new(socket));
    Ok(())
}

fn groups(keep: &mut Keep) -> Outcome {
    sockets::private_loopback()?;
    let (udp, _) = sockets::sharing_port(0)?;
    sockets::attach_reuseport(&udp, &socket_filter("bench_reuse")?)?;
    let packet = sockets::packet()?;
    sockets::join_fanout(&packet, 9)?;
    sockets::attach_fanout(&packet, &socket_filter("bench_fanout")?)?;
    keep.push(Box::new((udp, packet)));
    Ok(())
}

fn members(keep: &mut Keep) -> Outcome {
    sockets::private_loopback()?;
    let verdict = sockmap::program(Slot::StreamVerdict, "bench_verdict")?;
    let map = sockmap::sockmap("bench_members")?;
    sockmap::attach(&map, Slot::StreamVerdict, &verdict)?;
    let pair = sockets::connection(&sockets::listener()?)?;
    sockmap::put(&map, 0, &pair.0)?;
    keep.push(Box::new((map, pair)));
    Ok(())
}

fn devmap(keep: &mut Keep) -> Outcome {
    net::private()?;
    let mut spec = MapSpec::new(map_type::DEVMAP, "bench_devmap");
    spec.value_size = 8;
    let map = spec.create()?;
    let prog = xdp_prog(attach_type::XDP_DEVMAP, "bench_devmap")?;
    bpf::put_with_prog(&map, 0, LOOPBACK, &prog)?;
    keep.push(Box::new(map));
    Ok(())
}

fn xskmap(keep: &mut Keep) -> Outcome {
    net::private()?;
    net::up(LOOPBACK)?;
    let map = MapSpec::new(map_type::XSKMAP, "bench_xskmap").create()?;
    let socket = net::xdp_socket(LOOPBACK)?;
    bpf::put(&map, 0, &socket)?;
    keep.push(Box::new(socket));
    Ok(())
}

fn registered(keep: &mut Keep) -> Outcome {
    let control = struct_ops::load("bench_cc", 0)?;
    keep.push(Box::new(Unregister(control)));
    Ok(())
}

/// A registration outlives its process.
struct Unregister(struct_ops::CongestionControl);

impl Drop for Unregister {
    fn drop(&mut self) {
        // It ends with an error only if there is nothing to undo.
        let _ = struct_ops::unregister(&self.0);
    }
}

fn timer(keep: &mut Keep) -> Outcome {
    let bpffs = private_bpffs()?;
    let mut loaded = object_file::load("timers", &bpffs)?;
    let prog = loaded.prog("start")?;
    bpf::run(&prog)?;
    let maps = [loaded.map("array")?, loaded.map("hash")?];
    keep.push(Box::new((loaded, maps)));
    Ok(())
}

fn outside(keep: &mut Keep) -> Outcome {
    let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
    unix::send(&sender, &[&bpf::hash("bench_in_flight")?])?;
    let ring = Ring::new()?;
    ring.fix(&[bpf::hash("bench_fixed")?.as_raw_fd()])?;
    keep.push(Box::new((sender, receiver, ring)));
    Ok(())
}
