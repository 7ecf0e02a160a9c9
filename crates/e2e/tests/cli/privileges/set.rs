//! What the rows look at, and the file that names a container.

use e2e::bpf::{self, MapSpec, Object, ProgSpec, attach_type, prog_type};
use e2e::files::{Cgroup, private_bpffs};
use e2e::scene::{Child, Inherit, Outcome};
use e2e::sys::{Result, io};
use e2e::uring::Ring;
use e2e::{Stage, insn, net, perf, sockets, unix};
use serde_json::json;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const LPM_TRIE: u32 = 11;

/// One holder of each sort, every object by nothing else. All of root's.
pub fn set(stage: &mut Stage, id: &str) -> Outcome {
    let bpffs = private_bpffs()?;
    let cgroup = Cgroup::new()?;
    let inhabited = cgroup.below(&[&format!("cri-containerd-{id}.scope")])?;
    net::private()?;

    let fd = bpf::hash("e2e_priv_fd")?;
    let trie = trie("e2e_priv_trie")?;
    let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
    let flight = bpf::hash("e2e_priv_fly")?;
    unix::send(&sender, &[&flight])?;
    let ring = Ring::new()?;
    let fixed = bpf::hash("e2e_priv_fixed")?;
    ring.fix(&[fixed.as_raw_fd()])?;
    let pinned = bpf::hash("e2e_priv_pin")?;
    pinned.pin(&bpffs.join("e2e_priv_pin"))?;

    let kind = attach_type::CGROUP_INET_INGRESS;
    let on_cgroup = program(prog_type::CGROUP_SKB, "e2e_priv_cgroup", 1, kind)?;
    bpf::attach(&on_cgroup, cgroup.fd.as_raw_fd() as u32, kind, 0)?;
    let xdp = program(prog_type::XDP, "e2e_priv_xdp", 2, attach_type::XDP)?;
    net::set_xdp(net::LOOPBACK, &xdp, net::XdpMode::Generic)?;
    let tc = program(prog_type::SCHED_CLS, "e2e_priv_tc", 0, 0)?;
    net::clsact(net::LOOPBACK)?;
    let place = net::Place::ClsactIngress(net::LOOPBACK);
    net::filter(place, net::Chain(1, None), &tc)?;
    let filter = program(
        prog_type::SOCKET_FILTER,
        "e2e_priv_socket",
        sockets::KEEP,
        0,
    )?;
    let (socket, _peer) = unix::pair(libc::SOCK_DGRAM)?;
    sockets::attach_filter(&socket, &filter)?;
    let on_event = program(prog_type::PERF_EVENT, "e2e_priv_perf", 0, 0)?;
    let event = perf::event(perf::SOFTWARE, perf::DUMMY)?;
    perf::attach(&event, &on_event)?;

    let contained = Child::start(Inherit::Nothing, |stage| {
        std::fs::write(inhabited.join("cgroup.procs"), "0").map_err(io("cgroup.procs"))?;
        let map = bpf::hash("e2e_priv_box")?;
        stage.ready(json!({"map": map.id}))
    })?;
    let report = json!({
        "fd": fd.id, "fd_fd": fd.fd(), "trie": trie.id, "flight": flight.id, "fixed": fixed.id,
        "pinned": pinned.id, "contained": contained.id("map"), "container": id,
        "cgroup": on_cgroup.id, "xdp": xdp.id, "tc": tc.id, "socket": filter.id,
        "perf": on_event.id, "inode": unix::inode(&receiver)?,
    });
    drop((flight, fixed, pinned, on_cgroup, xdp, tc, filter, on_event));
    stage.ready(report)
}

fn program(prog_type: u32, name: &str, value: i32, kind: u32) -> Result<Object> {
    let spec = ProgSpec::new(prog_type, name, insn::returns(value));
    if kind == 0 { spec } else { spec.attach(kind) }.load()
}

/// A type whose memory only a holder's fdinfo tells.
fn trie(name: &str) -> Result<Object> {
    let mut spec = MapSpec::new(LPM_TRIE, name).flags(bpf::F_NO_PREALLOC);
    spec.key_size = 8;
    spec.create()
}

/// The file in which containerd has a container's name: root's, in a folder of root's.
pub struct Bundle {
    pub id: String,
    folder: PathBuf,
}

/// Tests run side by side: how many bundles there were, how many are left, and the folders
/// above them that were not there before, the outermost first.
static BUNDLES: Mutex<(u32, u32, Vec<PathBuf>)> = Mutex::new((0, 0, Vec::new()));

impl Bundle {
    pub fn new() -> Self {
        let mut all = BUNDLES.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        all.1 += 1;
        let id = format!("{:056x}{:08x}", std::process::id(), all.0);
        let above = Path::new("/run/containerd/io.containerd.runtime.v2.task/default");
        let missing = above.ancestors().take_while(|p| !p.exists());
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.reverse();
        all.2.extend(missing);
        let folder = above.join(&id);
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder.create(&folder).expect("a folder in /run");
        let config = r#"{"annotations":{"nerdctl/name":"e2e-box"}}"#;
        std::fs::write(folder.join("config.json"), config).expect("a file in /run");
        Self { id, folder }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let mut all = BUNDLES.lock().unwrap_or_else(PoisonError::into_inner);
        all.1 -= 1;
        let _ = std::fs::remove_dir_all(&self.folder);
        if all.1 == 0 {
            for folder in all.2.drain(..).rev() {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}
