//! What could hold the references that no walk explained: what no walk can list.

use crate::account::Ledger;
use crate::walks::Remainder;
use model::{Facts, Kind, Object};

impl Ledger {
    /// What a remainder of this account could be, one phrase each: holders that lastref
    /// cannot list, as far as they fit the object's type and the side of the count on which
    /// something is left. Empty if the account has no remainder.
    pub fn candidates(object: &Object) -> Vec<String> {
        let left = Remainder::of(object);
        let facts = &object.facts;
        let mut found: Vec<&str> = Vec::new();
        if left.kernel {
            found.extend_from_slice(match facts.kind {
                Kind::Prog => of_program(facts),
                Kind::Map => of_map(facts),
                Kind::Btf => &["a program that is just being loaded"],
                Kind::Link => &[],
            });
        }
        if left.user {
            found.extend_from_slice(&[
                "a descriptor that an io_uring request in progress uses",
                "a file of a process that just exited",
            ]);
        }
        found.into_iter().map(str::to_owned).collect()
    }
}

/// `bpf_mt_check_v1` and `kcm_attach` take programs of type socket filter; `bpf_parse_prog`
/// those of routes; drivers take one per queue (`bpf_prog_add`). A device is in no list from
/// `unlist_netdevice` until it lets go of its programs, or is in the list of the other namespace.
fn of_program(facts: &Facts) -> &'static [&'static str] {
    const DRAINING: &str = "a socket that is closed and still draining";
    const ON_ITS_WAY: &str = "a device that is just being removed, or moved to another netns";
    match facts.type_name.as_str() {
        "socket_filter" => &["an iptables rule (-m bpf)", "a KCM socket", DRAINING],
        "sk_skb" | "sk_msg" | "sk_reuseport" => &[DRAINING],
        "lwt_in" | "lwt_out" | "lwt_xmit" => &["a route with BPF encapsulation (encap bpf)"],
        "lwt_seg6local" => &["a route with the SRv6 action End.BPF"],
        "xdp" => &[
            "the queues of a device that runs it in its driver",
            ON_ITS_WAY,
        ],
        "sched_cls" => &[ON_ITS_WAY],
        "lirc_mode2" => &["an infrared receiver (lirc)"],
        _ => &[],
    }
}

/// `add_used_map` takes a reference while the verifier still runs; a socket keeps its
/// congestion control until it is destroyed (`tcp_cleanup_congestion_control`), and has it from
/// its listener before it is accepted (`tcp_ca_openreq_child`).
fn of_map(facts: &Facts) -> &'static [&'static str] {
    match facts.type_name.as_str() {
        "struct_ops" => &[
            "a socket that is closed and still draining",
            "a TCP connection that is not accepted yet",
            "a program that is just being loaded",
        ],
        _ => &["a program that is just being loaded"],
    }
}
