//! Against a systemd of our own making.

use super::*;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

fn store(unit: &str, objects: Option<&[Kind]>) -> Store {
    Store {
        unit: unit.into(),
        objects: objects.map(Into::into),
    }
}

fn stores(kept: &[Kind], units: Vec<Store>) -> FdStores {
    FdStores {
        units,
        kept: (9..).zip(kept.iter().copied()).collect(),
        settled: true,
    }
}

#[test]
fn a_unit_is_named_only_if_no_other_can_be() {
    use Kind::{Map, Prog};
    let mut one = stores(&[Map, Prog, Map], vec![store("a", Some(&[Map, Map]))]);
    assert_eq!(one.keeper(Map), Keeper::Unit("a"));
    assert_eq!(one.keeper(Prog), Keeper::Itself);
    one.settled = false;
    assert!(matches!(one.keeper(Map), Keeper::Among(units) if units.len() == 1));

    // One of the three is systemd's own, or was handed to it in another way.
    let more = stores(&[Map; 3], vec![store("a", Some(&[Map, Map]))]);
    assert!(matches!(more.keeper(Map), Keeper::Among(_)));
    let two = stores(
        &[Map; 3],
        vec![
            store("a", Some(&[Map])),
            store("b", Some(&[Map, Map, Prog])),
        ],
    );
    assert!(matches!(two.keeper(Map), Keeper::Among(units) if units.len() == 2));
    let old = stores(&[Map], vec![store("a", None)]);
    assert!(matches!(old.keeper(Map), Keeper::Among(_)));
    assert_eq!(stores(&[Map], vec![]).keeper(Map), Keeper::Itself);
}

/// A message to us, with values of the body already in the format.
fn message(kind: u8, serial: u32, signature: &str, error: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = vec![5, 1, b'u', 0];
    fields.extend(serial.to_le_bytes());
    if !error.is_empty() {
        fields.extend([4, 1, b's', 0]);
        text(&mut fields, error);
        pad(&mut fields, 8);
    }
    fields.extend([8, 1, b'g', 0, signature.len() as u8]);
    fields.extend(signature.as_bytes());
    fields.push(0);
    let mut all = vec![b'l', kind, 1, 1];
    all.extend((body.len() as u32).to_le_bytes());
    all.extend(7u32.to_le_bytes());
    all.extend((fields.len() as u32).to_le_bytes());
    all.extend(fields);
    pad(&mut all, 8);
    all.extend(body);
    all
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn number(bytes: &mut Vec<u8>, value: u32) {
    pad(bytes, 4);
    bytes.extend(value.to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    number(bytes, value.len() as u32);
    bytes.extend(value.as_bytes());
    bytes.push(0);
}

fn array(elements: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    number(&mut all, elements.len() as u32);
    pad(&mut all, 8);
    all.extend(elements);
    all
}

fn unit_list(units: &[&str]) -> Vec<u8> {
    let mut all = Vec::new();
    for unit in units {
        pad(&mut all, 8);
        for word in [unit, "about", "loaded", "active", "running", ""] {
            text(&mut all, word);
        }
        text(&mut all, &format!("/org/freedesktop/systemd1/unit/{unit}"));
        number(&mut all, 0);
        text(&mut all, "");
        text(&mut all, "/");
    }
    array(&all)
}

fn dump(links: &[&str]) -> Vec<u8> {
    let mut all = Vec::new();
    for link in links {
        pad(&mut all, 8);
        text(&mut all, "stored");
        for n in [0o600, 0, 15] {
            number(&mut all, n);
        }
        pad(&mut all, 8);
        all.extend(1057u64.to_le_bytes());
        for n in [0, 0] {
            number(&mut all, n);
        }
        text(&mut all, link);
        number(&mut all, 2);
    }
    array(&all)
}

/// Serves one connection: each call is answered by what `answer` makes of the
/// whole message's text and its serial.
fn serve(
    listener: UnixListener,
    answer: impl Fn(&str, u32) -> Vec<u8> + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        let hello = b"BEGIN\r\n";
        loop {
            let read = peer.read(&mut chunk).unwrap_or(0);
            if read == 0 {
                return;
            }
            bytes.extend_from_slice(&chunk[..read]);
            if let Some(at) = bytes.windows(hello.len()).position(|w| w == hello) {
                assert!(bytes.starts_with(b"\0AUTH EXTERNAL 3"));
                bytes.drain(..at + hello.len());
                peer.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")
                    .unwrap();
            }
            while bytes.len() >= 16 && bytes[0] == b'l' {
                let at = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().unwrap());
                let whole = (at(12) as usize + 16).next_multiple_of(8) + at(4) as usize;
                if bytes.len() < whole {
                    break;
                }
                let serial = at(8);
                let call: Vec<u8> = bytes.drain(..whole).collect();
                let call = String::from_utf8_lossy(&call);
                if peer.write_all(&answer(&call, serial)).is_err() {
                    return;
                }
            }
        }
    })
}

fn asked(answer: impl Fn(&str, u32) -> Vec<u8> + Send + 'static) -> io::Result<Vec<Store>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let server = serve(UnixListener::bind(&path).unwrap(), answer);
    let pid = i32::try_from(std::process::id()).unwrap();
    let answer = ask(&path, Some(pid));
    server.join().unwrap();
    answer
}

const DISABLED: &str = "org.freedesktop.systemd1.FileDescriptorStoreDisabled";

#[test]
fn a_systemd_that_tells_what_is_stored() {
    let found = asked(|call, serial| {
        if call.contains("ListUnits") {
            let units = ["agent.service", "cron.service", "db.service"];
            // A signal in between is not for us.
            let mut both = message(4, 1, "", "", &[]);
            both.extend(message(2, serial, "a(ssssssouso)", "", &unit_list(&units)));
            both
        } else if call.contains("agent.service") {
            let links = [
                "anon_inode:bpf-map",
                "/memfd:state (deleted)",
                "anon_inode:bpf_link",
            ];
            message(2, serial, "a(suuutuusu)", "", &dump(&links))
        } else if call.contains("db.service") {
            message(2, serial, "a(suuutuusu)", "", &dump(&["socket:[7]"]))
        } else {
            message(3, serial, "", DISABLED, &[])
        }
    });
    let expected = [
        store("agent.service", Some(&[Kind::Map, Kind::Link])),
        store("db.service", Some(&[])),
    ];
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn a_systemd_that_only_counts() {
    let found = asked(|call, serial| {
        if call.contains("ListUnits") {
            let units = ["agent.service", "cron.service"];
            message(2, serial, "a(ssssssouso)", "", &unit_list(&units))
        } else if call.contains("Dump") {
            message(3, serial, "", UNKNOWN_METHOD, &[])
        } else {
            let mut value = vec![1, b'u', 0];
            number(&mut value, u32::from(call.contains("agent")));
            message(2, serial, "v", "", &value)
        }
    });
    assert_eq!(found.unwrap(), [store("agent.service", None)]);
}

#[test]
fn hundreds_of_units_are_asked_in_one_connection() {
    let found = asked(|call, serial| {
        if call.contains("ListUnits") {
            let units: Vec<String> = (0..500).map(|n| format!("u{n:03}.service")).collect();
            let units: Vec<&str> = units.iter().map(String::as_str).collect();
            message(2, serial, "a(ssssssouso)", "", &unit_list(&units))
        } else if call.contains("u499.service") {
            message(2, serial, "a(suuutuusu)", "", &dump(&["anon_inode:btf"]))
        } else {
            message(3, serial, "", DISABLED, &[])
        }
    });
    assert_eq!(found.unwrap(), [store("u499.service", Some(&[Kind::Btf]))]);
}

#[test]
fn answers_that_are_none() {
    for bad in [
        b"garbage that is no message".to_vec(),
        message(2, 1, "as", "", &[]),
        message(2, 1, "a(ssssssouso)", "", &[255; 8]),
        message(3, 1, "", DISABLED, &[]),
        // Longer than is taken.
        [b"l\x02\x01\x01".as_slice(), &[255; 12]].concat(),
    ] {
        let found = asked(move |_, _| bad.clone());
        assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn another_than_the_one_expected_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let _listener = UnixListener::bind(&path).unwrap();
    let error = ask(&path, Some(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    std::fs::remove_file(&path).unwrap();
    let error = ask(&path, Some(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn one_that_never_answers_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let _listener = UnixListener::bind(&path).unwrap();
    let before = Instant::now();
    let error = ask(&path, None).unwrap_err();
    assert!(matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ));
    assert!(before.elapsed() < 3 * PATIENCE);
}
