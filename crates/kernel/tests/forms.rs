//! The walks over lists in the kernel have two forms: with `bpf_loop`, and with a plain
//! loop for kernels before 5.17. On one scene both must find the same.
//!
//! Needs root; says so and passes otherwise, as `walks.rs` does.

use kernel::holders::carriers::Carriers;
use kernel::{Addr, Walks, sys};
use libbpf_sys as bpf;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;

/// Runs `act` on a thread of its own, as it may enter namespaces; nothing if not root.
fn on_stage(act: impl FnOnce() + Send + 'static) {
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 {
        println!("not root: nothing tested");
        return;
    }
    std::thread::spawn(act).join().expect("the scene");
}

/// What `look` finds in each form.
fn both<T>(mut look: impl FnMut(&mut Walks) -> T) -> [T; 2] {
    [false, true].map(|plain| {
        let mut walks = Walks::load().expect("the walks load");
        if plain {
            walks.use_plain_loops();
        }
        look(&mut walks)
    })
}

fn unshare(flags: libc::c_int) {
    // SAFETY: no memory is shared through this call.
    assert_eq!(unsafe { libc::unshare(flags) }, 0);
}

/// A program that returns 1.
fn program(prog_type: u32, attach_type: u32) -> OwnedFd {
    let insn = |code, imm| bpf::bpf_insn {
        code,
        imm,
        ..Default::default()
    };
    let insns = [insn(0xb7, 1), insn(0x95, 0)];
    let opts = bpf::bpf_prog_load_opts {
        sz: size_of::<bpf::bpf_prog_load_opts>() as _,
        expected_attach_type: attach_type,
        ..Default::default()
    };
    // SAFETY: strings, instructions and options live until the call returns; a new
    // descriptor that nobody else has.
    unsafe {
        let fd = bpf::bpf_prog_load(
            prog_type,
            c"forms_test".as_ptr(),
            c"GPL".as_ptr(),
            insns.as_ptr(),
            insns.len() as _,
            (&raw const opts).cast_mut(),
        );
        assert!(fd >= 0, "a program: errno {}", -fd);
        OwnedFd::from_raw_fd(fd)
    }
}

fn address(walks: &mut Walks, prog: &OwnedFd) -> Addr {
    let id = sys::prog_id(prog.as_fd()).expect("its id");
    let objects = walks.objects().expect("objects");
    let prog = objects.progs.iter().find(|prog| prog.id == id);
    prog.expect("our program").addr
}

#[test]
fn network_namespaces_and_devices() {
    const NAMESPACES: usize = 20;
    const XDP_FLAGS_SKB_MODE: u32 = 2;
    on_stage(|| {
        let xdp = program(bpf::BPF_PROG_TYPE_XDP, 0);
        let kind = bpf::BPF_FLOW_DISSECTOR;
        let dissector = program(bpf::BPF_PROG_TYPE_FLOW_DISSECTOR, kind);
        let kept: Vec<File> = (0..NAMESPACES)
            .map(|_| {
                unshare(libc::CLONE_NEWNET);
                // SAFETY: integers only; no options.
                unsafe {
                    let (xdp, dissector) = (xdp.as_raw_fd(), dissector.as_raw_fd());
                    let set = bpf::bpf_xdp_attach(1, xdp, XDP_FLAGS_SKB_MODE, std::ptr::null());
                    assert_eq!(set, 0, "XDP on the loopback device");
                    assert_eq!(bpf::bpf_prog_attach(dissector, 0, kind, 0), 0);
                }
                File::open("/proc/thread-self/ns/net").expect("the new namespace")
            })
            .collect();
        let found = both(|walks| {
            let ours = [address(walks, &xdp), address(walks, &dissector)];
            let nets = walks.nets().expect("nets");
            assert!(!nets.cut);
            let holds = nets.holds.iter().filter(|h| ours.contains(&h.object));
            let device = |addr| nets.devices.get(addr).cloned();
            let mut holds: Vec<_> = holds
                .map(|h| (h.netns, h.what, h.object, h.place, device(&h.holder)))
                .collect();
            holds.sort();
            holds
        });
        assert_eq!(found[0].len(), 2 * NAMESPACES, "{:?}", found[0]);
        assert_eq!(found[0], found[1]);
        drop(kept);
    });
}

/// A cgroup with others below it, removed with them.
struct Cgroups(Vec<PathBuf>);

impl Drop for Cgroups {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

#[test]
fn cgroups() {
    const WIDE: usize = 10;
    const INGRESS: u32 = bpf::BPF_CGROUP_INET_INGRESS;
    on_stage(|| {
        unshare(libc::CLONE_NEWNS);
        for words in [
            &["--make-rprivate", "/"][..],
            &["-t", "cgroup2", "cgroup2", "/mnt"],
        ] {
            let status = Command::new("mount").args(words).status();
            assert!(status.expect("mount runs").success(), "mount {words:?}");
        }
        let root = PathBuf::from(format!("/mnt/lastref-forms-{}", std::process::id()));
        let mut all = Cgroups(vec![root.clone()]);
        for i in 0..WIDE {
            let upper = root.join(i.to_string());
            let below = ["a", "b"].map(|name| upper.join(name));
            all.0.push(upper);
            all.0.extend(below);
        }
        let progs: Vec<OwnedFd> = (0..3)
            .map(|_| program(bpf::BPF_PROG_TYPE_CGROUP_SKB, INGRESS))
            .collect();
        for path in &all.0 {
            fs::create_dir(path).expect("a cgroup");
            let cgroup = File::open(path).expect("the cgroup");
            for prog in &progs {
                let flags = bpf::BPF_F_ALLOW_MULTI;
                // SAFETY: integers only.
                let attached = unsafe {
                    bpf::bpf_prog_attach(prog.as_raw_fd(), cgroup.as_raw_fd(), INGRESS, flags)
                };
                assert_eq!(attached, 0, "{}", path.display());
            }
        }
        let found = both(|walks| {
            let ours: Vec<Addr> = progs.iter().map(|prog| address(walks, prog)).collect();
            let cgroups = walks.cgroups().expect("cgroups");
            assert!(!cgroups.cut);
            let holds = cgroups.holds.iter().filter(|h| ours.contains(&h.object));
            let mut holds: Vec<_> = holds
                .map(|h| (cgroups.paths[&h.holder].clone(), h.object, h.place, h.count))
                .collect();
            holds.sort();
            holds
        });
        assert_eq!(found[0].len(), progs.len() * all.0.len(), "{:?}", found[0]);
        assert_eq!(found[0], found[1]);
    });
}

/// Sends descriptors over a socket (`SCM_RIGHTS`).
fn send(socket: &OwnedFd, fds: &[i32]) {
    let mut byte = [0_u8];
    let mut control = [0_u64; 160];
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let bytes = size_of_val(fds);
    // SAFETY: zero is a value of this struct; the control buffer is aligned and larger than
    // the header and the descriptors; all lives until the call returns.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(bytes as u32) as _;
        assert!(message.msg_controllen <= size_of_val(&control));
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
        let data = libc::CMSG_DATA(header);
        data.copy_from_nonoverlapping(fds.as_ptr().cast(), bytes);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, 0)
    };
    assert_eq!(sent, 1);
}

/// A queue within a queue, with more files than one run of the plain form takes.
#[test]
fn messages_in_flight() {
    const MESSAGES: usize = 40;
    const FILES: usize = 20;
    on_stage(|| {
        let pair = || {
            let mut ends = [0; 2];
            // SAFETY: room for two descriptors, which nobody else has.
            unsafe {
                let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
                let made = libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr());
                assert_eq!(made, 0);
                ends.map(|fd| OwnedFd::from_raw_fd(fd))
            }
        };
        let map = sys::create_array(c"forms_test", 8, 1).expect("a map");
        let id = sys::map_id(map.as_fd()).expect("its id");
        let [outer, outer_end] = pair();
        let [inner, inner_end] = pair();
        for _ in 0..MESSAGES {
            let files: Vec<OwnedFd> = (0..FILES)
                .map(|_| sys::map_by_id(id).expect("a file on the map"))
                .collect();
            let fds: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
            send(&inner, &fds);
        }
        send(&outer, &[inner_end.as_raw_fd()]);
        drop(inner_end);
        let found = both(|walks| {
            let objects = walks.objects().expect("objects");
            let map = objects.maps.iter().find(|m| m.id == id).expect("our map");
            assert_eq!(
                map.refcnt,
                (1 + MESSAGES * FILES) as u64,
                "the kernel's own"
            );
            let mut carriers: Carriers = walks.carriers().expect("carriers");
            walks.contents(&mut carriers).expect("contents");
            let carried = carriers.carried.iter().filter(|c| c.object == map.addr);
            let mut carried: Vec<_> = carried.map(|c| (c.file, c.by)).collect();
            carried.sort_unstable();
            carried
        });
        assert_eq!(found[0].len(), MESSAGES * FILES);
        assert_eq!(found[0], found[1]);
        drop((outer, outer_end, inner));
    });
}

/// Programs in an array and in lists.
#[test]
fn entries_of_maps() {
    const ENTRIES: u32 = 300;
    on_stage(|| {
        unshare(libc::CLONE_NEWNET);
        let prog = program(bpf::BPF_PROG_TYPE_XDP, bpf::BPF_XDP_DEVMAP);
        let maps = [bpf::BPF_MAP_TYPE_DEVMAP, bpf::BPF_MAP_TYPE_DEVMAP_HASH].map(|kind| {
            // SAFETY: a C string and no options; a new descriptor that nobody else has; keys
            // and values have the sizes that the map was made for.
            unsafe {
                let name = c"forms_test".as_ptr();
                let fd = bpf::bpf_map_create(kind, name, 4, 8, ENTRIES, std::ptr::null());
                assert!(fd >= 0, "a map: errno {}", -fd);
                for key in 0..ENTRIES {
                    // Interface 1 is the loopback device.
                    let value = [1, prog.as_raw_fd()];
                    let (key, value) = ((&raw const key).cast(), (&raw const value).cast());
                    assert_eq!(bpf::bpf_map_update_elem(fd, key, value, 0), 0);
                }
                OwnedFd::from_raw_fd(fd)
            }
        });
        let ids = maps
            .each_ref()
            .map(|m| sys::map_id(m.as_fd()).expect("its id"));
        let found = both(|walks| {
            let ours = address(walks, &prog);
            let objects = walks.objects().expect("objects");
            let maps = objects.maps.iter().filter(|map| ids.contains(&map.id));
            let slots = walks.slots(maps).expect("slots");
            assert!(!slots.cut);
            let holds = slots.holds.iter().filter(|hold| hold.object == ours);
            let mut holds: Vec<_> = holds
                .map(|h| (h.holder, h.what, h.place, h.count))
                .collect();
            holds.sort_unstable();
            holds
        });
        assert_eq!(found[0].len(), 2 * ENTRIES as usize);
        assert_eq!(found[0], found[1]);
    });
}
