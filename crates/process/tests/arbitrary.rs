//! No parser panics, and none reads without end, whatever the bytes.

use process::fdstore::{dbus, links, units};
use process::{cgroup, fdinfo, mountinfo, namespace, runtime::parse, stat, status};
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes with what parsers look for in between.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            " ",
            "\n",
            "\t",
            ":",
            "/",
            "(",
            ")",
            "-",
            "\\",
            "\\040",
            "\\x2d",
            "\\x",
            "0::",
            "memory",
            "bpf",
            "0:29",
            ".scope",
            ".service",
            ".slice",
            "docker-",
            "pod",
            "kubepods",
            "NSpid:",
            "map_id:",
            "mnt:[",
            "]",
            "lxc",
            "{",
            "}",
            "[",
            "\"annotations\":{",
            "\"io.kubernetes.cri.sandbox-name\":\"x\"",
            "\"Name\":\"/",
            "\"",
            ",",
            "ecs",
            "machine-",
            "\u{fc}",
            "1",
            "S",
            "0123456789abcdef0123456789abcdef",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_parser_panics(bytes in bytes()) {
        let _ = stat::parse(&bytes);
        let _ = status::ns_pid(&bytes);
        let _ = fdinfo::value(&bytes, "map_id");
        let _ = namespace::inode(&bytes, "mnt");
        let _ = mountinfo::parse_line(&bytes);
        let _ = mountinfo::bpffs_mounts(bytes.as_slice());
        let _ = cgroup::parse(&bytes);
        let _ = (parse::containerd(&bytes), parse::crio(&bytes), parse::docker(&bytes));
        let _ = (parse::docker_root(&bytes), parse::storage_index(&bytes, "x"));
    }

    #[test]
    fn no_message_is_too_odd(
        kind in 0..4u8,
        fields in vec(any::<u8>(), 0..40),
        signature in prop::sample::select(vec!["a(ssssssouso)", "a(suuutuusu)", "v", ""]),
        body in vec(prop_oneof![Just(0), 0..9u8, any::<u8>()], 0..80),
    ) {
        let mut head = vec![5, 1, b'u', 0, 1, 0, 0, 0, 8, 1, b'g', 0, signature.len() as u8];
        head.extend(signature.bytes());
        head.push(0);
        head.extend(&fields);
        let mut message = vec![b'l', kind, 0, 1, body.len() as u8, 0, 0, 0, 0, 0, 0, 0];
        message.extend((head.len() as u32).to_le_bytes());
        message.extend(&head);
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend(&body);
        if let Some(Some((serial, reply))) = dbus::parse(&message) {
            prop_assert_eq!(serial, 1);
            let _ = (units(&reply), links(&reply));
        }
        let _ = dbus::parse(&fields);
    }

    #[test]
    fn any_name_is_read_back(comm in vec(any::<u8>(), 0..64), start in any::<u64>()) {
        let mut file = b"7 (".to_vec();
        file.extend_from_slice(&comm);
        file.extend_from_slice(format!(") R 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 {start} 0 0\n").as_bytes());
        let read = stat::parse(&file).expect("well formed");
        prop_assert_eq!((read.comm, read.threads, read.start_ticks), (comm.as_slice(), 9, start));
    }

    #[test]
    fn unescaping_undoes_what_the_kernel_does(name in vec(any::<u8>(), 0..64)) {
        // mangle_path(" \t\n\\")
        let mut escaped = Vec::new();
        for &byte in &name {
            if b" \t\n\\".contains(&byte) {
                escaped.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            } else {
                escaped.push(byte);
            }
        }
        prop_assert_eq!(&*mountinfo::unescape(&escaped), name.as_slice());
    }

    #[test]
    fn a_unit_and_a_container_are_parts_of_the_path(bytes in bytes()) {
        if let Some(found) = cgroup::parse(&bytes) {
            prop_assert!(found.path.starts_with('/'));
            if let Some(unit) = found.container.is_none().then_some(found.unit).flatten() {
                prop_assert!(!unit.contains('/') && !unit.is_empty());
            }
            if let Some(container) = found.container {
                prop_assert!(!container.id.is_empty());
            }
        }
    }
}
