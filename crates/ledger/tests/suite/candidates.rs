//! What an unexplained reference could be.

use crate::build::*;
use ledger::{Ledger, Reading};

fn candidates(reading: Reading) -> Vec<String> {
    let of = reading.facts.object_id().expect("an id");
    Ledger::candidates(close(vec![reading]).get(of).expect("it is there"))
}

#[test]
fn candidates_fit_the_object() {
    const FILES: [&str; 2] = [
        "a descriptor that an io_uring request in progress uses",
        "a file of a process that just exited",
    ];
    let rows: [(&str, &[&str]); 9] = [
        (
            "socket_filter",
            &[
                "an iptables rule (-m bpf)",
                "a KCM socket",
                "a socket that is closed and still draining",
            ],
        ),
        ("sk_msg", &["a socket that is closed and still draining"]),
        ("lwt_xmit", &["a route with BPF encapsulation (encap bpf)"]),
        ("lwt_seg6local", &["a route with the SRv6 action End.BPF"]),
        (
            "xdp",
            &[
                "the queues of a device that runs it in its driver",
                "a device that is just being removed, or moved to another netns",
            ],
        ),
        (
            "sched_cls",
            &["a device that is just being removed, or moved to another netns"],
        ),
        ("lirc_mode2", &["an infrared receiver (lirc)"]),
        ("kprobe", &[]),
        ("struct_ops", &[]),
    ];
    for (type_name, expected) in rows {
        let expected = [expected, &FILES].concat();
        assert_eq!(candidates(prog_of(1, type_name).counts(1)), expected);
    }
    assert_eq!(candidates(link(1).counts(1)), FILES);
    let loading = "a program that is just being loaded";
    assert_eq!(
        candidates(btf(1, false).counts(1)),
        [&[loading][..], &FILES].concat()
    );
    // A map's own split of its count tells which side is missing.
    let map = |type_name, users| map(1, type_name).fd(1, &[1]).counts(2).users(users);
    assert_eq!(candidates(map("hash", 2)), FILES);
    assert_eq!(candidates(map("hash", 1)), [loading]);
    assert_eq!(
        candidates(map("struct_ops", 1)),
        [
            "a socket that is closed and still draining",
            "a TCP connection that is not accepted yet",
            loading
        ]
    );
}

#[test]
fn an_account_that_adds_up_has_no_candidates() {
    assert!(candidates(prog_of(1, "xdp").pinned("/p")).is_empty());
    let mut unread = prog_of(1, "xdp");
    unread.facts.refcnt = None;
    assert!(candidates(unread).is_empty());
}
