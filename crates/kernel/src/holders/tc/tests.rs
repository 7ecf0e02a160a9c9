//! Messages as the kernel writes them, whole, cut short and spoilt.

use super::filters::{self, Action, Filter, Place, Qdisc};
use super::netlink::{Attributes, Malformed, Message, Messages, attribute, request};
use super::routes::{self, Hook, Name};
use super::{Wanted, dump};

/// With `NLA_F_NESTED`.
fn nested(kind: u16) -> u16 {
    kind | 0x8000
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn message(body: &[u8]) -> Message<'_> {
    Message {
        kind: 0,
        flags: 0,
        sequence: 1,
        body,
    }
}

/// A qdisc or class: device 3, this handle and parent.
fn qdisc(kind: &str, handle: u32, parent: u32, more: &[Vec<u8>]) -> Vec<u8> {
    let head = words(&[0, 3, handle, parent, 1]);
    let kind = attribute(1, format!("{kind}\0").as_bytes());
    [head, kind, more.concat()].concat()
}

/// What `tc filter add dev X ingress bpf da` makes, in chain 7.
fn filter(kind: &str) -> Vec<u8> {
    let info = 49152 << 16 | u32::from(3_u16.to_be());
    let options = [
        attribute(7, b"x.o:[tc]\0"),
        number(8, 1),
        attribute(10, &[0xab; 8]),
        number(11, 42),
    ];
    [
        words(&[0, 3, 1, 0xffff_fff2, info]),
        attribute(1, format!("{kind}\0").as_bytes()),
        number(11, 7),
        attribute(nested(2), &options.concat()),
    ]
    .concat()
}

fn two_actions() -> Vec<u8> {
    let action = |order, index, bound, id| {
        let parameters = words(&[index, 0, 0, 1, bound]);
        let options = [
            attribute(2, &parameters),
            attribute(8, &[1; 8]),
            number(9, id),
        ];
        let kind = attribute(1, b"bpf\0");
        let action = [kind, attribute(nested(2), &options.concat())].concat();
        attribute(order, &action)
    };
    let table = [action(0, 5, 0, 40), action(1, 6, 2, 41)].concat();
    [words(&[0]), attribute(nested(1), &table), number(3, 2)].concat()
}

fn encap() -> Vec<u8> {
    let name = attribute(2, b"x.o:[lwt]\0");
    let hooks = [attribute(nested(3), &name), attribute(nested(1), &name)];
    [
        attribute(21, &6_u16.to_ne_bytes()),
        attribute(nested(22), &hooks.concat()),
    ]
    .concat()
}

/// 10.0.0.0/24 in table 100, of this family, by what `how` says.
fn route(family: u8, address: &[u8], how: &[u8]) -> Vec<u8> {
    [
        &[family, 24, 0, 0, 100, 4, 0, 1, 0, 0, 0, 0],
        attribute(1, address).as_slice(),
        number(15, 100).as_slice(),
        number(6, 1024).as_slice(),
        how,
    ]
    .concat()
}

const V4: [u8; 4] = [10, 0, 0, 0];

fn v4(how: &[u8]) -> Vec<u8> {
    route(2, &V4, how)
}

fn multipath() -> Vec<u8> {
    let nexthop = |device: u32, inside: &[u8]| {
        let length = (8 + inside.len()) as u16;
        [
            &length.to_ne_bytes(),
            &[0, 0],
            device.to_ne_bytes().as_slice(),
            inside,
        ]
        .concat()
    };
    let all = [nexthop(3, &encap()), nexthop(4, &[]), nexthop(5, &encap())].concat();
    v4(&attribute(9, &all))
}

fn nexthop() -> Vec<u8> {
    let hook = attribute(nested(2), &attribute(2, b"x\0"));
    [
        words(&[2, 0]),
        number(1, 17),
        attribute(7, &6_u16.to_ne_bytes()),
        attribute(nested(8), &hook),
    ]
    .concat()
}

#[test]
fn filters_with_a_program() {
    let expected = Filter {
        place: Place {
            device: 3,
            parent: filters::CLSACT_INGRESS,
        },
        chain: 7,
        priority: 49152,
        protocol: 3,
        handle: 1,
        prog_id: 42,
    };
    assert_eq!(
        filters::filter(&message(&filter("bpf"))),
        Ok(Some(expected))
    );
    assert_eq!(filters::filter(&message(&filter("flower"))), Ok(None));
}

#[test]
fn where_filters_can_be() {
    let of = |body: &[u8]| filters::qdisc(&message(body)).expect("a discipline");
    let at = |parent| Place { device: 3, parent };
    let places = |body: &[u8]| of(body).places;
    assert_eq!(of(&qdisc("noqueue", 0, !0, &[])), Qdisc::default());
    let clsact = places(&qdisc("clsact", 0xffff_0000, 0xffff_fff1, &[]));
    assert_eq!(clsact, [at(0xffff_fff2), at(0xffff_fff3)]);
    let shared = [number(13, 7)];
    let clsact = places(&qdisc("clsact", 0xffff_0000, 0xffff_fff1, &shared));
    assert_eq!(clsact, [Place::block(7), at(0xffff_fff3)]);
    let ingress = places(&qdisc("ingress", 0xffff_0000, 0xffff_fff1, &[]));
    assert_eq!(ingress, [at(0xffff_0000)]);
    let ingress = places(&qdisc("ingress", 0xffff_0000, 0xffff_fff1, &shared));
    assert_eq!(ingress, [Place::block(7)]);
    let htb = of(&qdisc("htb", 0x1_0000, !0, &[]));
    assert_eq!((htb.places, htb.classes_of), (vec![at(0x1_0000)], Some(3)));
    // A default discipline can have filters too, and is found as the root.
    assert_eq!(places(&qdisc("fq_codel", 0, !0, &[])), [at(0)]);
    let red = [attribute(2, &[number(5, 9), number(6, 0)].concat())];
    assert_eq!(places(&qdisc("red", 0x1_0000, !0, &red)), [Place::block(9)]);
}

#[test]
fn classes_with_filters() {
    let htb = qdisc("htb", 0x1_000a, 0x1_0000, &[]);
    let class = Place {
        device: 3,
        parent: 0x1_000a,
    };
    assert_eq!(filters::class(&message(&htb)), Ok(Some(class)));
    let drr = qdisc("drr", 0x1_000a, 0x1_0000, &[]);
    assert_eq!(filters::class(&message(&drr)), Ok(None));
}

#[test]
fn actions_with_a_program() {
    let action = |index, bound, prog_id| Action {
        index,
        bound,
        prog_id,
    };
    let found = filters::actions(&message(&two_actions()));
    assert_eq!(found, Ok(vec![action(5, 0, 40), action(6, 2, 41)]));
}

#[test]
fn routes_with_programs() {
    let of = |body: &[u8]| routes::route(&message(body)).expect("a route");
    let found = of(&v4(&[encap(), number(4, 3)].concat())).expect("programs");
    assert_eq!(found.hooks, [Hook::In, Hook::Xmit]);
    assert_eq!(
        found.name,
        Name::Route {
            to: V4.into(),
            bits: 24,
            table: 100,
            kind: 1,
            metric: Some(1024),
            device: Some(3),
        }
    );
    let several = of(&multipath()).expect("programs");
    let twice = [Hook::In, Hook::Xmit, Hook::In, Hook::Xmit];
    assert_eq!(several.hooks, twice);
    assert_eq!(of(&v4(&number(4, 3))), None, "no tunnel");
    let by_object = [encap(), number(30, 17)].concat();
    assert_eq!(of(&v4(&by_object)), None, "the nexthop has it");
    let mpls = [attribute(21, &1_u16.to_ne_bytes()), attribute(22, &[])];
    assert_eq!(of(&v4(&mpls.concat())), None, "another tunnel");
    let found = routes::nexthop(&message(&nexthop())).expect("a nexthop");
    let found = found.expect("programs");
    assert_eq!(
        (found.name, found.hooks),
        (Name::Nexthop(17), vec![Hook::Out])
    );
}

#[test]
fn the_program_of_a_segment_has_an_id() {
    let prog = attribute(nested(8), &[number(1, 99), attribute(2, b"x\0")].concat());
    let how = [
        attribute(21, &7_u16.to_ne_bytes()),
        attribute(22, &[number(1, 15), prog].concat()),
    ];
    let body = route(10, &[0x20; 16], &how.concat());
    let found = routes::route(&message(&body)).expect("a route");
    let found = found.expect("a program");
    assert_eq!(found.hooks, [Hook::Seg6Local(99)]);
    assert!(found.shared.is_empty());
}

/// `fib_find_info` looks at all but the destination.
#[test]
fn routes_that_share_a_tunnel() {
    let shared = |address: [u8; 4], how: &[u8]| {
        let body = route(2, &address, how);
        let found = routes::route(&message(&body)).expect("a route");
        found.expect("programs").shared
    };
    let here = shared(V4, &encap());
    assert_eq!(here, shared([10, 0, 1, 0], &encap()));
    assert_ne!(here, shared(V4, &[encap(), number(4, 3)].concat()));
}

#[test]
fn messages_follow_each_other() {
    let stream = [
        request(36, 2, 9, &[1; 5]),
        vec![0; 3],
        request(3, 2, 9, &[0; 4]),
    ]
    .concat();
    let found: Result<Vec<_>, _> = Messages(&stream).collect();
    let found = found.expect("two messages");
    let kinds: Vec<_> = found
        .iter()
        .map(|m| (m.kind, m.flags, m.body.len()))
        .collect();
    assert_eq!(kinds, [(36, 2, 5), (3, 2, 4)]);
    for end in 0..stream.len() {
        let last = Messages(&stream[..end]).last();
        // The first is whole, with or without its padding.
        let whole = end == 0 || (21..=24).contains(&end);
        assert_eq!(
            last,
            last.filter(|m| m.is_ok() == whole || end == 0),
            "{end}"
        );
    }
    let endless = [0; 16];
    assert_eq!(Messages(&endless).collect::<Vec<_>>(), [Err(Malformed)]);
}

#[test]
fn a_malformed_attribute_is_an_error() {
    for bytes in [
        &[1, 0, 0, 0][..],
        &[0, 0, 0, 0],
        &[9, 0, 1, 0, 0],
        &[4, 0, 1],
    ] {
        let found: Vec<_> = Attributes(bytes).all().collect();
        assert_eq!(found, [Err(Malformed)], "{bytes:?}");
    }
    let short = [
        words(&[0, 3, 0, 0, 0]),
        attribute(1, b"bpf\0"),
        attribute(2, &attribute(11, &[1, 2])),
    ];
    assert_eq!(filters::filter(&message(&short.concat())), Err(Malformed));
}

fn parse_all(body: &[u8]) -> [bool; 6] {
    let message = message(body);
    [
        filters::qdisc(&message).is_ok(),
        filters::class(&message).is_ok(),
        filters::filter(&message).is_ok(),
        filters::actions(&message).is_ok(),
        routes::route(&message).is_ok(),
        routes::nexthop(&message).is_ok(),
    ]
}

/// Cut at every byte, and with every byte spoilt, each parser comes to an end.
#[test]
fn no_bytes_are_a_panic() {
    let bodies = [
        qdisc("red", 0x1_0000, !0, &[attribute(2, &number(5, 9))]),
        filter("bpf"),
        two_actions(),
        v4(&encap()),
        multipath(),
        nexthop(),
    ];
    for body in bodies {
        for end in 0..body.len() {
            parse_all(&body[..end]);
            for spoilt in [0, 1, 0x7f, 0xff] {
                let mut body = body.clone();
                body[end] = spoilt;
                parse_all(&body);
            }
        }
        // Inside the head nothing is taken.
        assert_eq!(parse_all(&body[..3]), [false; 6]);
    }
}

#[test]
fn our_own_namespace_can_be_looked_at() {
    let all = Wanted {
        filters: true,
        actions: true,
        routes: true,
    };
    dump(None, all).expect("rtnetlink answers everybody");
}
