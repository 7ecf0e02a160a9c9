//! The walks on the running kernel. What they must find for each kind of holder
//! is tested from outside (`crates/e2e`); here, that both forms of a walk find
//! the same, and that thousands of elements are no problem.
//!
//! Needs root; says so and passes otherwise (`make test` then runs what needs
//! BPF in a virtual machine).

use kernel::Walks;
use kernel::sys;
use model::{Kind, ObjectId};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

const PINS: usize = 3000;
const SLOTS: u32 = 100_000;
const USED: u32 = 30;

fn is_root() -> bool {
    // SAFETY: no pointers.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("not root: nothing tested");
    }
    root
}

/// A bpffs that only this thread's mount namespace has; the calling thread must
/// be one of its own, as it stays there.
fn private_bpffs() -> &'static Path {
    const AT: &str = "/mnt";
    // SAFETY: no memory is shared through this call.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    let mount = |words: &[&str]| {
        let status = Command::new("mount").args(words).status();
        assert!(status.expect("mount runs").success(), "mount {words:?}");
    };
    mount(&["--make-rprivate", "/"]);
    mount(&["-t", "bpf", "bpf", AT]);
    Path::new(AT)
}

fn map() -> OwnedFd {
    sys::create_array(c"walks_test", 8, 1).expect("an array map")
}

#[test]
fn both_forms_of_the_walk_over_pins_find_thousands() {
    if !is_root() {
        return;
    }
    let found = std::thread::spawn(|| {
        let bpffs = private_bpffs();
        let map = map();
        let id = sys::map_id(map.as_fd()).expect("its id");
        for pin in 0..PINS {
            let dir = bpffs.join(format!("dir{}", pin % 10));
            fs::create_dir_all(&dir).expect("a directory");
            sys::pin(map.as_fd(), &dir.join(format!("pin{pin}"))).expect("a pin");
        }
        let first = bpffs.join("dir0/pin0");
        fs::hard_link(&first, bpffs.join("again")).expect("a hard link");
        [false, true].map(|plain| {
            let mut walks = Walks::load().expect("the walks load");
            if plain {
                walks.use_plain_loops();
            }
            let objects = walks.objects().expect("objects");
            let of = objects.maps.iter().find(|m| m.id == id).expect("our map");
            let pins = walks.pins().expect("pins");
            let mut paths: Vec<_> = pins
                .inodes
                .into_iter()
                .filter(|inode| inode.object == of.addr)
                .map(|inode| inode.paths)
                .collect();
            paths.sort();
            (pins.cut, of.usercnt, paths)
        })
    })
    .join()
    .expect("the thread with its own mounts");
    for (cut, usercnt, paths) in &found {
        assert!(!cut, "no list changed");
        assert_eq!(*usercnt, PINS as u64 + 1, "the kernel's own count");
        assert_eq!(paths.len(), PINS);
        assert!(paths.contains(&vec!["/again".into(), "/dir0/pin0".into()]));
    }
    assert_eq!(found[0], found[1]);
}

/// The walk's output buffer has 32 KiB: names of the greatest length, and an inode
/// with many names, must not fill it beyond.
#[test]
fn the_longest_names_and_many_hard_links_are_all_found() {
    const LONG: usize = 400;
    if !is_root() {
        return;
    }
    std::thread::spawn(|| {
        let bpffs = private_bpffs();
        let map = map();
        let id = sys::map_id(map.as_fd()).expect("its id");
        let name = |n: usize| bpffs.join(format!("{n:0>255}"));
        sys::pin(map.as_fd(), &name(0)).expect("a pin");
        for n in 1..LONG {
            if n % 2 == 0 {
                sys::pin(map.as_fd(), &name(n)).expect("a pin");
            } else {
                fs::hard_link(name(0), name(n)).expect("a hard link");
            }
            fs::create_dir(bpffs.join(format!("{n:d>254}"))).expect("a directory");
        }
        for plain in [false, true] {
            let mut walks = Walks::load().expect("the walks load");
            if plain {
                walks.use_plain_loops();
            }
            let objects = walks.objects().expect("objects");
            let of = objects.maps.iter().find(|m| m.id == id).expect("our map");
            let pins = walks.pins().expect("pins");
            assert!(!pins.cut);
            let ours = pins.inodes.iter().filter(|i| i.object == of.addr);
            let mut names: Vec<_> = ours.map(|i| i.paths.len()).collect();
            names.sort_unstable();
            assert_eq!(names.len(), LONG / 2);
            assert_eq!(names.last(), Some(&(1 + LONG / 2)));
        }
    })
    .join()
    .expect("the thread with its own mounts");
}

#[test]
fn a_calibrated_walk_finds_our_own_descriptors() {
    if !is_root() {
        return;
    }
    let maps: Vec<_> = (0..500).map(|_| map()).collect();
    let copies: Vec<_> = maps
        .iter()
        .map(|m| m.try_clone().expect("a copy"))
        .collect();
    let mut walks = Walks::load().expect("the walks load");
    let files = walks.files().expect("files");
    let objects = walks.objects().expect("objects");
    for (map, copy) in maps.iter().zip(&copies) {
        let id = sys::map_id(map.as_fd()).expect("its id");
        let of = objects.maps.iter().find(|m| m.id == id).expect("our map");
        let shared: Vec<_> = files
            .shared
            .values()
            .filter(|file| file.object == of.addr)
            .collect();
        assert_eq!(shared.len(), 1, "a copied descriptor is the same file");
        let mut fds: Vec<_> = shared[0].at.iter().map(|&(_, fd)| fd).collect();
        fds.sort_unstable();
        let mut expected = [map.as_raw_fd() as u32, copy.as_raw_fd() as u32];
        expected.sort_unstable();
        assert_eq!(fds, expected);
    }
}

/// A map of maps with `inner` in its first `used` of `slots` slots.
fn outer(map_type: u32, inner: &OwnedFd, slots: u32, used: u32) -> OwnedFd {
    use std::os::fd::FromRawFd;
    let inner = inner.as_raw_fd() as u32;
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        inner_map_fd: inner,
        ..Default::default()
    };
    // SAFETY: the name is a C string, and `opts` lives until the call returns.
    let fd = unsafe {
        libbpf_sys::bpf_map_create(map_type, c"outer".as_ptr(), 4, 4, slots, &raw const opts)
    };
    assert!(fd >= 0, "a map of maps: errno {}", -fd);
    // SAFETY: a new descriptor that nobody else has.
    let outer = unsafe { OwnedFd::from_raw_fd(fd) };
    for key in 0..used {
        // SAFETY: key and value have the 4 bytes that the map was made for.
        let result = unsafe {
            libbpf_sys::bpf_map_update_elem(
                fd,
                (&raw const key).cast(),
                (&raw const inner).cast(),
                0,
            )
        };
        assert_eq!(result, 0, "slot {key}");
    }
    outer
}

#[test]
fn both_forms_of_the_walk_over_slots_find_the_same() {
    if !is_root() {
        return;
    }
    let inner = map();
    let array = outer(libbpf_sys::BPF_MAP_TYPE_ARRAY_OF_MAPS, &inner, SLOTS, USED);
    let hash = outer(libbpf_sys::BPF_MAP_TYPE_HASH_OF_MAPS, &inner, 1000, USED);
    let ids = [&inner, &array, &hash].map(|m| sys::map_id(m.as_fd()).expect("its id"));
    let found = [false, true].map(|plain| {
        let mut walks = Walks::load().expect("the walks load");
        if plain {
            walks.use_plain_loops();
        }
        let objects = walks.objects().expect("objects");
        let ours: Vec<_> = ids
            .iter()
            .map(|id| objects.maps.iter().find(|m| m.id == *id).expect("our map"))
            .collect();
        assert_eq!(
            ours[0].refcnt,
            u64::from(1 + 2 * USED),
            "the kernel's own count"
        );
        let slots = walks.slots(ours.iter().copied()).expect("slots");
        assert!(!slots.cut);
        [1, 2].map(|holder| slots.held[&(ours[holder].addr, ours[0].addr)])
    });
    assert_eq!(found, [[u64::from(USED); 2]; 2]);
}

/// The verifier takes every program, and each walk comes to its end.
#[test]
fn every_walk_runs_in_both_forms() {
    if !is_root() {
        return;
    }
    for plain in [false, true] {
        let mut walks = Walks::load().expect("the walks load");
        if plain {
            walks.use_plain_loops();
        }
        let objects = walks.objects().expect("objects");
        walks.pins().expect("pins");
        walks.mappings().expect("mappings");
        let slots = walks.slots(objects.maps.iter()).expect("slots");
        let nets = walks.nets().expect("nets");
        let cgroups = walks.cgroups().expect("cgroups");
        let mut carriers = walks.carriers().expect("carriers");
        walks.contents(&mut carriers).expect("contents");
        println!("{slots:?}\n{nets:?}\n{cgroups:?}\n{carriers:?}");
        assert!(walks.unknown_carriers().is_empty());
    }
}

/// A link on a network namespace that nobody else has (`sk_lookup`, 5.9), and the namespace.
fn netns_link() -> (OwnedFd, fs::File) {
    use std::os::fd::FromRawFd;
    // r0 = SK_PASS; exit
    let insns = [
        libbpf_sys::bpf_insn {
            code: 0xb7,
            imm: 1,
            ..Default::default()
        },
        libbpf_sys::bpf_insn {
            code: 0x95,
            ..Default::default()
        },
    ];
    let opts = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_SK_LOOKUP,
        ..Default::default()
    };
    // SAFETY: no memory is shared through this call.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
    let netns = fs::File::open("/proc/thread-self/ns/net").expect("the new namespace");
    // SAFETY: strings, instructions and options live until the calls return, and the
    // descriptors are new ones that nobody else has.
    unsafe {
        let prog = libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_SK_LOOKUP,
            c"walks_test".as_ptr(),
            c"GPL".as_ptr(),
            insns.as_ptr(),
            insns.len() as _,
            (&raw const opts).cast_mut(),
        );
        assert!(prog >= 0, "a program: errno {}", -prog);
        let prog = OwnedFd::from_raw_fd(prog);
        let link = libbpf_sys::bpf_link_create(
            prog.as_raw_fd(),
            netns.as_raw_fd(),
            libbpf_sys::BPF_SK_LOOKUP,
            std::ptr::null(),
        );
        assert!(link >= 0, "a link: errno {}", -link);
        (OwnedFd::from_raw_fd(link), netns)
    }
}

/// Kernels before 5.19 have no iterator over links: there they are opened by their ids.
#[test]
fn links_by_id_are_those_of_the_iterator() {
    if !is_root() {
        return;
    }
    let (link, _netns) = std::thread::spawn(netns_link).join().expect("a link");
    let copy = link.try_clone().expect("a copy");
    let id = sys::link_id(link.as_fd()).expect("its id");
    let mut by_id = Walks::load_without_links().expect("the walks load");
    let mut by_default = Walks::load().expect("the walks load");
    let [one, other] = [&mut by_id, &mut by_default].map(|walks| {
        let objects = walks.objects().expect("objects");
        assert_eq!(walks.links_unseen(), None);
        let ours = objects.links.into_iter().find(|link| link.id == id);
        ours.expect("our link")
    });
    assert_eq!(one, other);
    assert_eq!(one.refcnt, 1, "two descriptors on one file");
    assert!(one.target.is_some(), "{one:?}");
    drop(copy);
}

/// A process is known again by what the walk over descriptors says of it.
#[test]
fn who_has_descriptors() {
    if !is_root() {
        return;
    }
    let map = map();
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::fcntl(map.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let mut child = Command::new("sh")
        .args(["-c", "read x; exec sleep 1000"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let pid = child.id();
    let stat = |n: usize| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let fields: Vec<&str> = stat.split_whitespace().collect();
        fields[n].to_owned()
    };
    let wait_for = |comm: &str| {
        while stat(1) != comm {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    wait_for("(sh)");
    let mut walks = Walks::load().expect("the walks load");
    let mut who = || walks.files().expect("files").who[&pid];
    let first = who();
    assert_eq!(who(), first);
    assert_eq!(first.comm(), b"sh");
    assert_eq!((first.start / 10_000_000).to_string(), stat(21));
    assert_ne!((first.css_set, first.cgroup), (0, 0));
    drop(child.stdin.take());
    wait_for("(sleep)");
    let after = who();
    assert_eq!(after.comm(), b"sleep");
    assert_eq!(after.exec, first.exec + 1);
    let expected = kernel::holders::files::Who {
        exec: after.exec,
        comm: after.comm,
        ..first
    };
    assert_eq!(after, expected);
    child.kill().expect("it lives");
    child.wait().expect("our child");
}

#[test]
fn an_object_lives_as_long_as_somebody_holds_it() {
    if !is_root() {
        return;
    }
    let map = map();
    let id = |id| ObjectId {
        kind: Kind::Map,
        id,
    };
    let own = sys::map_id(map.as_fd()).expect("its id");
    assert!(kernel::lives(id(own)).expect("root may ask"));
    // Its id is that of a map, whatever else has the same number.
    let gone = ObjectId {
        kind: Kind::Link,
        id: i32::MAX as u32 - 1,
    };
    assert!(!kernel::lives(gone).expect("root may ask"));
    assert!(!kernel::lives(id(0)).expect("root may ask"));
    drop(map);
    // The id goes with the last reference (`bpf_map_free_id`).
    assert!(!kernel::lives(id(own)).expect("root may ask"));
}
