//! What is called to let an object go.

use crate::LibraryKind;
use model::Kind;

/// What a person writes into a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// In the imperative, with the call and the type: `Close each *ebpf.Map`.
    pub act: &'static str,
    /// What is otherwise for some of them, a sentence.
    pub but: Option<&'static str>,
}

const fn call(act: &'static str) -> Call {
    Call { act, but: None }
}

const fn but(act: &'static str, but: &'static str) -> Call {
    Call {
        act,
        but: Some(but),
    }
}

/// The call that lets an object of this kind go that this library holds.
pub fn release(library: LibraryKind, kind: Kind) -> Call {
    use LibraryKind as L;
    match (library, kind) {
        (L::CiliumEbpf, Kind::Map) => call("Close each *ebpf.Map"),
        (L::CiliumEbpf, Kind::Prog) => call("Close each *ebpf.Program"),
        (L::CiliumEbpf, Kind::Link) => call("Close each link.Link"),
        (L::CiliumEbpf, Kind::Btf) => call("Close each *btf.Handle"),
        (L::Libbpfgo, Kind::Map) => but(
            "Close the *libbpfgo.Module that a map belongs to",
            "What CreateMap and GetMapByID return (*libbpfgo.BPFMapLow) belongs to none and has no Close: call syscall.Close(m.FileDescriptor())",
        ),
        (L::Libbpfgo, Kind::Link) => but(
            "Call Destroy on each *libbpfgo.BPFLink",
            "Module.Close does so for what it keeps, which links of AttachGeneric, uprobes, USDT and struct_ops are not",
        ),
        (L::Libbpfgo, Kind::Prog | Kind::Btf) => call("Close the *libbpfgo.Module that loaded it"),
        (L::Gobpf, _) => but(
            "Close the *bcc.Module or *elf.Module that it belongs to",
            "A descriptor of elf.GetProgFd is the caller's: call syscall.Close on it",
        ),
        (L::GoStd, _) => call("Close each *os.File"),
        (L::Cgo, _) => call("Call close(2) on each descriptor that C code opened"),
        (L::Libbpf, Kind::Map | Kind::Prog) => but(
            "Call bpf_object__close on the object that it belongs to",
            "A descriptor that a call of the bpf_…_create, _load, _get or _get_fd_by_id kind returned belongs to none: call close(2)",
        ),
        (L::Libbpf, Kind::Link) => but(
            "Call bpf_link__destroy on each struct bpf_link",
            "bpf_object__close spares links that are not its skeleton's; a descriptor of bpf_link_create is to be closed with close(2)",
        ),
        (L::Libbpf, Kind::Btf) => call("Call btf__free on each struct btf"),
        (L::Libxdp, _) => call("Call xdp_program__close on each struct xdp_program"),
        (L::Bcc, _) => but(
            "Call cleanup() on each BPF object",
            "close() closes its descriptors and leaves what is attached",
        ),
        (L::Aya, Kind::Map) => call("Drop the aya::Ebpf or MapData that owns it"),
        (L::Aya, Kind::Prog) => {
            call("Drop the aya::Ebpf that owns it, or call unload() on the program")
        }
        (L::Aya, Kind::Link) => but(
            "Call detach(id) on the program with what attach() returned",
            "A link of take_link() goes when it is dropped; one that is forgotten never does",
        ),
        (L::Aya, Kind::Btf) => call("Drop the aya::Ebpf that loaded it"),
        (L::LibbpfRs, Kind::Map) => call("Drop the Object or MapHandle that owns it"),
        (L::LibbpfRs, Kind::Prog) => call("Drop the Object or ProgramHandle that owns it"),
        (L::LibbpfRs, Kind::Link) => but(
            "Drop each Link",
            "After disconnect() its descriptor belongs to nobody: close it",
        ),
        (L::LibbpfRs, Kind::Btf) => call("Drop the Object that loaded it"),
    }
}

/// The same for a descriptor that is a number and nothing more.
pub fn raw(is_go: bool) -> Call {
    if is_go {
        call("Call unix.Close on each descriptor once it is used no more")
    } else {
        call("Call close(2) on each descriptor once it is used no more")
    }
}

/// What else keeps a map of this type, where a library has a reader of it that keeps it: a copy of
/// its descriptor, or a mapping.
pub fn reader(library: LibraryKind, map_type: &str) -> Option<Call> {
    match (library, map_type) {
        // perf/reader.go clones the map
        (LibraryKind::CiliumEbpf, "perf_event_array") => Some(call(
            "Close each *perf.Reader too: it has a copy of the map",
        )),
        (LibraryKind::CiliumEbpf, "ringbuf") => {
            Some(call("Close each *ringbuf.Reader: it has the map mapped"))
        }
        // memory.go
        (LibraryKind::CiliumEbpf, _) => {
            Some(call("Drop each *ebpf.Memory: its mapping goes with it"))
        }
        (LibraryKind::Libbpf | LibraryKind::Cgo, "ringbuf") => {
            Some(call("Call ring_buffer__free on each ring buffer"))
        }
        (LibraryKind::Libbpfgo, "ringbuf") => Some(call("Close each *libbpfgo.RingBuffer")),
        (LibraryKind::Aya, "ringbuf") => Some(call("Drop each RingBuf")),
        (LibraryKind::LibbpfRs, "ringbuf") => Some(call("Drop each RingBuffer")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_one_line_that_names_what_to_call() {
        use LibraryKind as L;
        let all = [
            L::CiliumEbpf,
            L::Libbpfgo,
            L::Gobpf,
            L::GoStd,
            L::Cgo,
            L::Libbpf,
            L::Libxdp,
            L::Bcc,
            L::Aya,
            L::LibbpfRs,
        ];
        for library in all {
            for kind in Kind::ALL {
                let call = release(library, kind);
                for text in [Some(call.act), call.but].into_iter().flatten() {
                    assert!(
                        text.starts_with(|c: char| c.is_ascii_uppercase()
                            || text.starts_with("bpf_")
                            || text.starts_with("close()")),
                        "{text}"
                    );
                    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
                }
            }
        }
        assert_eq!(
            release(L::CiliumEbpf, Kind::Map).act,
            "Close each *ebpf.Map"
        );
    }
}
