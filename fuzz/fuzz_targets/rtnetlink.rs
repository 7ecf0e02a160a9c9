//! Netlink messages: filters, actions and routes.
#![no_main]

use libfuzzer_sys::fuzz_target;

// By their paths: the crate around them brings libbpf along, and these know nothing of it.
#[path = "../../crates/kernel/src/holders/tc/filters.rs"]
#[allow(dead_code)]
mod filters;
#[path = "../../crates/kernel/src/holders/tc/netlink.rs"]
#[allow(dead_code)]
mod netlink;
#[path = "../../crates/kernel/src/holders/tc/routes.rs"]
#[allow(dead_code)]
mod routes;

fuzz_target!(|bytes: &[u8]| {
    let parse = |message: &netlink::Message<'_>| {
        let _ = filters::qdisc(message);
        let _ = filters::class(message);
        let _ = filters::filter(message);
        let _ = filters::actions(message);
        let _ = routes::route(message);
        let _ = routes::nexthop(message);
        netlink::status(message.body);
    };
    let mut total = 0;
    for message in netlink::Messages(bytes).flatten() {
        total += message.body.len();
        parse(&message);
    }
    assert!(total <= bytes.len());
    parse(&netlink::Message {
        kind: 0,
        flags: 0,
        sequence: 0,
        body: bytes,
    });
});
