//! Real BPF objects and a real bpffs. The truth about ids comes from
//! `BPF_OBJ_GET_INFO_BY_FD`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "each test binary uses a part")]
mod common;

use common::{Program, is_root};
use process::{FdObject, Proc};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

// enum bpf_cmd
const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BTF_LOAD: libc::c_int = 18;

/// bpf(2), with the attributes as 64-bit words.
fn bpf(command: libc::c_int, words: &[u64]) -> io::Result<libc::c_int> {
    let mut attr = [0_u64; 16];
    attr[..words.len()].copy_from_slice(words);
    // SAFETY: the kernel reads and writes at most the given size of `attr`; the
    // pointers in it are to memory that the callers keep.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of_val(&attr)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as libc::c_int)
    }
}

fn object(command: libc::c_int, words: &[u64]) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor that nobody else owns.
    bpf(command, words).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The 32-bit word of the object's info at `offset` words.
fn info(fd: &OwnedFd, offset: usize) -> u32 {
    let mut buf = [0_u32; 64];
    let length = size_of_val(&buf) as u64;
    bpf(
        OBJ_GET_INFO_BY_FD,
        &[fd.as_raw_fd() as u64 | length << 32, (&raw mut buf) as u64],
    )
    .unwrap();
    buf[offset]
}

fn halves(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn program(kind: u32) -> OwnedFd {
    let code: [u64; 2] = [0xb7, 0x95]; // r0 = 0; exit
    object(
        PROG_LOAD,
        &[
            halves(kind, 2),
            (&raw const code) as u64,
            c"GPL".as_ptr() as u64,
        ],
    )
    .unwrap()
}

#[test]
fn descriptors_on_real_objects() {
    let map = match object(MAP_CREATE, &[halves(2, 4), halves(8, 1)]) {
        Ok(map) => map,
        Err(error) => {
            assert!(
                !is_root() && error.raw_os_error() == Some(libc::EPERM),
                "{error}"
            );
            return;
        }
    };
    let prog = program(1);
    let raw_tracepoint = program(17);
    let link = object(
        RAW_TRACEPOINT_OPEN,
        &[
            c"sched_process_exit".as_ptr() as u64,
            raw_tracepoint.as_raw_fd() as u64,
        ],
    )
    .unwrap();
    // struct btf_header (magic, version, lengths), one type: int, 32 bits.
    let btf: [u32; 12] = [
        0x0001_eb9f,
        24,
        0,
        16,
        16,
        5,
        1,
        1 << 24,
        4,
        32,
        u32::from_le_bytes(*b"\0int"),
        0,
    ];
    let btf = object(BTF_LOAD, &[(&raw const btf) as u64, 0, 24 + 16 + 5]).unwrap();

    let system = Proc::new();
    let read = |fd: &OwnedFd| {
        system
            .fdinfo(std::process::id(), fd.as_raw_fd() as u32)
            .unwrap()
    };
    assert_eq!(read(&map).object, FdObject::Map(info(&map, 1)));
    assert!(read(&map).memlock >= Some(8));
    assert_eq!(read(&prog).object, FdObject::Prog(info(&prog, 1)));
    assert!(read(&prog).memlock >= Some(4096));
    assert_eq!(read(&link).object, FdObject::Link(info(&link, 1)));
    assert_eq!(read(&btf).object, FdObject::Btf(info(&btf, 3)));
    assert_eq!((read(&link).memlock, read(&btf).memlock), (None, None));

    let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    assert_eq!(read(&file).object, FdObject::Other("/dev/null".into()));
}

#[test]
fn a_bpffs_in_a_mount_namespace_of_its_own() {
    if !is_root() {
        return; // bpffs in a user namespace needs a delegating host (6.9).
    }
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("a b\\c\nd");
    let part = dir.path().join("part");
    fs::create_dir(&whole).unwrap();
    fs::create_dir(&part).unwrap();
    let script = r#"mount -t bpf bpf "$1" && mkdir "$1/sub dir" && mount --bind "$1/sub dir" "$2" && echo ready; read _"#;
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([&whole, &part]);
    let (child, line) = Program::start(&mut command);
    assert_eq!(line, "ready");

    let found = Proc::new().bpffs_mounts(child.pid()).unwrap();
    assert!(!found.incomplete);
    let at = |point: &std::path::Path| {
        let mount = found
            .mounts
            .iter()
            .find(|m| m.mount_point == point.to_str().unwrap());
        mount
            .unwrap_or_else(|| panic!("{} in {found:?}", point.display()))
            .clone()
    };
    let inside = format!("/proc/{}/root{}", child.pid(), whole.display());
    let device = fs::metadata(inside).unwrap().dev();
    let device = (libc::major(device), libc::minor(device));
    assert_eq!((at(&whole).root.as_str(), at(&whole).device), ("/", device));
    assert_eq!(
        (at(&part).root.as_str(), at(&part).device),
        ("/sub dir", device)
    );

    let own = Proc::new().bpffs_mounts(std::process::id()).unwrap();
    assert!(
        own.mounts.iter().all(|m| m.device != device),
        "it is not ours"
    );
}
