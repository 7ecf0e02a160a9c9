//! The kernel's numbers in the field's words: those of bpftool.

use crate::holders::carriers::children;
use crate::rows::types;
use std::ffi::CStr;

/// A word of libbpf's tables, which grow with libbpf, or the number.
fn word(
    number: u32,
    table: unsafe extern "C" fn(u32) -> *const std::os::raw::c_char,
) -> Option<&'static str> {
    // SAFETY: libbpf answers null or a string constant for any number.
    let word = unsafe { table(number) };
    if word.is_null() {
        return None;
    }
    // SAFETY: a C string that lives as long as the program.
    unsafe { CStr::from_ptr(word) }.to_str().ok()
}

fn word_or_number(
    number: u32,
    table: unsafe extern "C" fn(u32) -> *const std::os::raw::c_char,
) -> String {
    word(number, table).map_or_else(|| format!("type_{number}"), str::to_owned)
}

/// All words of one of the tables below that libbpf knows.
pub fn all(word: fn(u32) -> String) -> Vec<String> {
    // More than any of the kernel's enums has.
    const NUMBERS: u32 = 256;
    let words = (1..NUMBERS).map(|number| (number, word(number)));
    words
        .filter(|(number, word)| *word != format!("type_{number}"))
        .map(|(_, word)| word)
        .collect()
}

/// `enum bpf_map_type` in words: `hash`, `array`, `ringbuf` …
pub fn map_type(number: u32) -> String {
    word_or_number(number, libbpf_sys::libbpf_bpf_map_type_str)
}

/// `enum bpf_prog_type` in words: `kprobe`, `xdp`, `tracing` …
pub fn prog_type(number: u32) -> String {
    word_or_number(number, libbpf_sys::libbpf_bpf_prog_type_str)
}

/// `enum bpf_link_type` in words: `cgroup`, `raw_tracepoint`, `iter` …
pub fn link_type(number: u32) -> String {
    word_or_number(number, libbpf_sys::libbpf_bpf_link_type_str)
}

/// `enum bpf_attach_type` in words: `cgroup_inet_ingress`, `trace_fentry` …
///
/// Links on raw tracepoints and perf events have none; what the kernel keeps there
/// for them is 0, which elsewhere is `cgroup_inet_ingress`.
pub(crate) fn attach_type(link_type: u32, number: u32) -> Option<&'static str> {
    let none = number == 0 && link_type != libbpf_sys::BPF_LINK_TYPE_CGROUP;
    if none || number == u32::MAX {
        return None;
    }
    word(number, libbpf_sys::libbpf_bpf_attach_type_str)
}

/// How a program without a link is attached to a cgroup, in the words that links have.
/// `list` is the kernel's own number of the list it stands in, which differs between
/// kernels; only the first two, ingress and egress, do not, and only there the program
/// itself does not tell (`expected_attach_type` may be 0).
pub fn cgroup_attach_type(prog_type: u32, expected: u32, list: u32) -> Option<&'static str> {
    let number = match prog_type {
        libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB => list,
        libbpf_sys::BPF_PROG_TYPE_SOCK_OPS => libbpf_sys::BPF_CGROUP_SOCK_OPS,
        libbpf_sys::BPF_PROG_TYPE_CGROUP_DEVICE => libbpf_sys::BPF_CGROUP_DEVICE,
        libbpf_sys::BPF_PROG_TYPE_CGROUP_SYSCTL => libbpf_sys::BPF_CGROUP_SYSCTL,
        _ => expected,
    };
    word(number, libbpf_sys::libbpf_bpf_attach_type_str)
}

/// What the kernel tells about a link's target, in pieces.
pub(crate) struct LinkWords<'a> {
    pub target: Option<&'a str>,
    pub group: Option<&'a str>,
    pub cgroup: Option<String>,
}

/// What a link is attached to: `raw_tracepoint:sys_enter`, `cgroup:/a`, `dev:eth0@netns:4026531840` …
pub(crate) fn link_target(row: &types::row_link, words: &LinkWords<'_>) -> Option<String> {
    let target = words.target;
    let many = |kind: &str| Some(format!("{kind}:{} places", row.hook));
    match row.r#type {
        libbpf_sys::BPF_LINK_TYPE_RAW_TRACEPOINT => target.map(|t| format!("raw_tracepoint:{t}")),
        libbpf_sys::BPF_LINK_TYPE_TRACING => target.map(|t| format!("function:{t}")),
        libbpf_sys::BPF_LINK_TYPE_CGROUP => words.cgroup.as_ref().map(|c| format!("cgroup:{c}")),
        libbpf_sys::BPF_LINK_TYPE_ITER => target.map(|t| format!("iter:{t}")),
        libbpf_sys::BPF_LINK_TYPE_NETNS => (row.netns != 0).then(|| format!("netns:{}", row.netns)),
        libbpf_sys::BPF_LINK_TYPE_XDP
        | libbpf_sys::BPF_LINK_TYPE_TCX
        | libbpf_sys::BPF_LINK_TYPE_NETKIT => {
            target.map(|t| format!("dev:{t}@netns:{}", row.netns))
        }
        libbpf_sys::BPF_LINK_TYPE_PERF_EVENT => {
            let kind = (row.perf_type, row.perf_config);
            Some(perf_target(kind, words.group, words.target))
        }
        libbpf_sys::BPF_LINK_TYPE_KPROBE_MULTI => many("kprobe"),
        libbpf_sys::BPF_LINK_TYPE_UPROBE_MULTI => match target {
            Some(file) => Some(format!("uprobe:{file}, {} places", row.hook)),
            None => many("uprobe"),
        },
        libbpf_sys::BPF_LINK_TYPE_NETFILTER => Some(format!(
            "netfilter:{}/{}@netns:{}",
            protocol_family(row.hook >> 16),
            netfilter_hook(row.hook & 0xffff),
            row.netns
        )),
        _ => None,
    }
}

/// How many references what a link is attached to has of its own on the program.
pub(crate) fn target_references(row: &types::row_link) -> u64 {
    match row.r#type {
        libbpf_sys::BPF_LINK_TYPE_PERF_EVENT
            if row.event_prog != 0 && row.event_prog == row.prog =>
        {
            match row.children {
                children::MORE => 1,
                children => 1 + u64::from(children),
            }
        }
        libbpf_sys::BPF_LINK_TYPE_SOCKMAP if row.map != 0 => 1,
        _ => 0,
    }
}

/// A perf event. Tracepoints have a system and a name; what `perf_event_open` made a
/// probe of, the probe's name.
pub(crate) fn perf_target(
    (perf_type, config): (u32, u64),
    group: Option<&str>,
    name: Option<&str>,
) -> String {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    match (group, name) {
        (Some(group), Some(name)) if perf_type == PERF_TYPE_TRACEPOINT => {
            format!("tracepoint:{group}/{name}")
        }
        (Some("kprobes"), Some(name)) => format!("kprobe:{name}"),
        (Some("uprobes"), _) => "uprobe".to_owned(),
        (_, Some(name)) => format!("perf_event:{name}"),
        _ => format!("perf_event:type {perf_type} config {config}"),
    }
}

/// `NFPROTO_*` (include/uapi/linux/netfilter.h).
fn protocol_family(number: u32) -> String {
    match number {
        2 => "ipv4".into(),
        10 => "ipv6".into(),
        n => format!("family {n}"),
    }
}

/// `enum nf_inet_hooks`.
fn netfilter_hook(number: u32) -> String {
    const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
    HOOKS
        .get(number as usize)
        .map_or_else(|| format!("hook {number}"), |h| (*h).to_owned())
}

/// `BPF_LINK_TYPE_STRUCT_OPS`
pub const STRUCT_OPS_LINK: u32 = libbpf_sys::BPF_LINK_TYPE_STRUCT_OPS;
