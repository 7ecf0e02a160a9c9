//! `lastref watch --metrics`: numbers in a file and over HTTP, whatever the clients are.

use e2e::files::Folder;
use e2e::{Scene, bpf, confine, here, lastref, scene};
use serde_json::json;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const ACT: &str = env!("CARGO_BIN_EXE_act");
/// Of an emulated processor, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A watch that serves, killed when the test is over.
struct Served {
    child: Child,
    address: String,
    /// What it writes to standard error after that.
    errors: Receiver<String>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(arguments: &[&str]) -> Self {
        Self::spawn(lastref::command(arguments))
    }

    fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (send, errors) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut served = Self {
            child,
            address: String::new(),
            errors,
        };
        let mut said = Vec::new();
        loop {
            let line = served.errors.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it does not listen: {said:?}"));
            if let Some((_, address)) = line.split_once("metrics at http://") {
                served.address = address.replace("/metrics", "");
                return served;
            }
            said.push(line);
        }
    }

    fn connect(&self) -> TcpStream {
        // It may listen on all addresses.
        let address = self
            .address
            .replace("[::]", "[::1]")
            .replace("0.0.0.0", "127.0.0.1");
        let stream = TcpStream::connect(&address).unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Head and body of what comes for these bytes; nothing if the connection was reset.
    fn ask(&self, bytes: &[u8]) -> Option<(String, String)> {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => {}
        }
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.to_owned(), body.to_owned()))
    }

    fn page(&self) -> String {
        let request = b"GET /metrics HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n";
        let (head, body) = self.ask(request).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let kind = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(head.contains(kind), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        assert!(body.ends_with("\n# EOF\n"), "{body}");
        body
    }

    /// The page of which this is true, which some sweep to come has.
    fn page_with(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let page = self.page();
            if wanted(&page) {
                return page;
            }
            assert!(begun.elapsed() < PATIENCE, "{page}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks it to end, and says how it did and how long that took.
    fn end(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        // SAFETY: our own child.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait().expect("it ends");
        (status.code(), begun.elapsed())
    }
}

/// The values of a name's samples that have these labels.
fn values(page: &str, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
    let of_name = page.lines().filter_map(|line| line.strip_prefix(name));
    let samples = of_name.filter(|rest| rest.starts_with(['{', ' ']));
    let samples = samples.filter(|rest| {
        let all = rest.rsplit_once(' ').map_or("", |(all, _)| all);
        let all = all.trim_start_matches('{').trim_end_matches('}');
        labels
            .iter()
            .all(|label| all.split(',').any(|one| one == label))
    });
    samples
        .map(|rest| rest.rsplit(' ').next().expect("a value"))
        .map(|value| value.parse().unwrap_or_else(|e| panic!("{e}: {value}")))
        .collect()
}

fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    match values(page, name, labels)[..] {
        [value] => value,
        ref other => panic!("{other:?} of {name} {labels:?} in {page}"),
    }
}

/// A process that opens one more file on a map every 50 ms, and one orphan pin.
fn leaking() -> Option<Scene> {
    scene(here!(), |stage| {
        let bpffs = e2e::files::private_bpffs()?;
        bpf::hash("e2e_orphan")?.pin(&bpffs.join("orphan"))?;
        let map = bpf::hash("many_files")?;
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            while let Ok(more) = map.reopen() {
                kept.push(more);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        stage.ready(json!({}))
    })
}

#[test]
fn a_leak_is_seen_by_who_scrapes() {
    let Some(s) = leaking() else {
        return;
    };
    let pid = s.pid.to_string();
    let window = format!(
        "{}ms",
        (lastref::calm() * 4 + Duration::from_secs(2)).as_millis()
    );
    let served = Served::start(&[
        "watch",
        "--metrics",
        "127.0.0.1:0",
        "--interval",
        "400ms",
        "--window",
        &window,
    ]);
    let of_it = [("pid", pid.as_str()), ("name", "many_files"), ("by", "fd")];
    let first = value(&served.page(), "lastref_open_handles", &of_it);
    let certain = [&of_it[..], &[("leak", "yes")]].concat();
    let page =
        served.page_with(|page| !values(page, "lastref_growth_per_second", &certain).is_empty());
    assert!(value(&page, "lastref_growth_per_second", &certain) > 0.0);
    assert!(value(&page, "lastref_open_handles", &of_it) > first);
    assert!(value(&page, "lastref_open_descriptors", &of_it) > first);
    assert!(value(&page, "lastref_leaks", &[("leak", "yes")]) >= 1.0);
    let left = value(
        &page,
        "lastref_exhaustion_seconds",
        &[("limit", "RLIMIT_NOFILE")],
    );
    assert!(left > 0.0 && left < 1e7, "{left}");
    // The host's numbers.
    let orphans = [("kind", "map"), ("state", "orphan-pin")];
    assert!(value(&page, "lastref_objects", &orphans) >= 1.0);
    assert!(value(&page, "lastref_orphan_pins", &[("kind", "map")]) >= 1.0);
    assert!(
        value(
            &page,
            "lastref_references",
            &[("kind", "map"), ("by", "fd")]
        ) >= first
    );
    assert!(value(&page, "lastref_sweeps_total", &[]) >= 2.0);
    for name in [
        "lastref_cpu_seconds_total",
        "lastref_resident_memory_bytes",
        "lastref_sweep_seconds",
        "lastref_last_sweep_timestamp_seconds",
        "lastref_objects_memory_bytes",
    ] {
        let all = values(&page, name, &[]);
        assert!(all.iter().any(|value| *value > 0.0), "{name} in {page}");
    }
    assert_eq!(values(&page, "lastref_build_info", &[]), [1.0]);
    // The process ends, and what is told of it with it.
    drop(s);
    let gone =
        |page: &str| values(page, "lastref_open_handles", &[("pid", pid.as_str())]).is_empty();
    served.page_with(gone);
    let (code, took) = served.end();
    assert_eq!(code, Some(0));
    assert!(took < PATIENCE / 4, "{took:?}");
}

#[test]
fn nothing_that_a_client_does_makes_a_sweep_late() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let served = Served::start(&["watch", "--metrics", ":0", "--interval", "100ms"]);
    let sweeps = || value(&served.page(), "lastref_sweeps_total", &[]);
    let before = sweeps();
    // Slow ones, that say a byte and then nothing, and more of them than it serves.
    let mut slow: Vec<TcpStream> = (0..64).map(|_| served.connect()).collect();
    for client in &mut slow {
        let _ = client.write_all(b"G");
    }
    for (bytes, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404"),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd",
            "405",
        ),
        (b"\x16\x03\x01\x00\xf5\x01\x00\x00\xf1\x03\x03", "400"),
        (b"\0\0\0\0\r\n\r\n", "400"),
        (b"GET /metrics HTTP/3.0\r\n\r\n", "400"),
        (&vec![b'a'; 1 << 20], "431"),
    ] {
        // One that says more than it takes may be cut off before it has heard.
        if let Some((head, _)) = served.ask(bytes) {
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
    }
    let (head, body) = served
        .ask(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        .expect("an answer");
    assert!(
        head.contains("Content-Length: ") && body.is_empty(),
        "{head}"
    );
    // Some that ask and do not read.
    let deaf: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut client = served.connect();
            let _ = client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
            client
        })
        .collect();
    served.page_with(|page| value(page, "lastref_sweeps_total", &[]) > before + 3.0);
    // It does not wait for any of them at its end.
    let (code, took) = served.end();
    assert_eq!(code, Some(0));
    assert!(took < PATIENCE / 4, "{took:?}");
    drop((slow, deaf));
}

#[test]
fn a_file_is_whole_whenever_it_is_read() {
    let Some(s) = leaking() else {
        return;
    };
    let folder = Folder::new(here!());
    let file = folder.path("lastref.prom");
    let pid = s.pid.to_string();
    let mut child = lastref::command(&[
        "watch",
        "--metrics",
        &file,
        "--pid",
        &pid,
        "--interval",
        "50ms",
        "--for",
        "3s",
    ])
    .stdout(Stdio::null())
    .spawn()
    .expect("it starts");
    let mut read = 0;
    while child.try_wait().expect("it is ours").is_none() {
        if let Ok(page) = std::fs::read_to_string(&file) {
            assert!(
                page.starts_with("# TYPE ") && page.ends_with("\n# EOF\n"),
                "{page}"
            );
            read += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(child.wait().expect("it has ended").success());
    assert!(read > 0);
    // It stays, and nothing else does.
    let page = std::fs::read_to_string(&file).expect("it is there");
    assert!(
        value(
            &page,
            "lastref_open_handles",
            &[("pid", &pid), ("by", "fd")]
        ) >= 2.0
    );
    let parent = std::path::Path::new(&file).parent().expect("a folder");
    assert_eq!(
        std::fs::read_dir(parent).expect("it can be listed").count(),
        1
    );
}

#[test]
fn around_a_command_beside_everything_else() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let folder = Folder::new(here!());
    let [file, record] = ["lastref.prom", "recording"].map(|name| folder.path(name));
    let output = lastref::run(&[
        "watch",
        "--json",
        "--metrics",
        &file,
        "--record",
        &record,
        "--",
        ACT,
        "map",
        "e2e_one",
        "exit",
        "7",
    ]);
    assert_eq!(output.status.code(), Some(7), "{}", crate::errors(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.lines()
            .any(|line| line.starts_with("{\"event\":\"summary\"")),
        "{text}"
    );
    let page = std::fs::read_to_string(&file).expect("it is there");
    // Before the command and after it.
    assert!(value(&page, "lastref_sweeps_total", &[]) >= 2.0);
    assert!(std::fs::metadata(&record).is_ok_and(|file| file.len() > 0));
}

#[test]
fn targets_that_are_wrong() {
    for (arguments, words) in [
        (
            &["watch", "--metrics", "localhost:9435"][..],
            "127.0.0.1:9435",
        ),
        (&["watch", "--metrics", "9435"], "expected an address"),
        (
            &["watch", "--metrics", ":9435", "--from", "x"],
            "cannot be used with",
        ),
    ] {
        crate::refused(&lastref::run(arguments), 2, &[words]);
    }
    if !e2e::needs_root(here!()) {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken
        .local_addr()
        .map(|a| (taken, a.to_string()))
        .expect("it is bound");
    let folder = Folder::new(here!());
    let touched = folder.path("touched");
    // Said before the command is run.
    let output = lastref::run(&["watch", "--metrics", &taken.1, "--", "touch", &touched]);
    crate::refused(&output, 2, &[&taken.1, "in use"]);
    assert!(!std::path::Path::new(&touched).exists());
    for (target, words) in [
        ("/no/such/folder/x.prom", "No such file"),
        ("/dev/null", "no regular file"),
        ("192.0.2.1:9435", "192.0.2.1:9435"),
    ] {
        crate::refused(&lastref::run(&["watch", "--metrics", target]), 2, &[words]);
    }
}

/// What `deploy/kubernetes.yaml` gives lastref is enough for every holder.
#[test]
fn with_the_capabilities_of_the_daemon_set() {
    let Some(s) = leaking() else {
        return;
    };
    let manifest = include_str!("../../../../deploy/kubernetes.yaml");
    let (_, list) = manifest
        .split_once("\n              add:\n")
        .expect("a list");
    let list = list.lines().map(str::trim_start);
    let names: Vec<&str> = list
        .take_while(|line| line.starts_with(['-', '#']))
        .filter_map(|line| line.strip_prefix("- ")?.split_whitespace().next())
        .collect();
    assert_eq!(names, ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"]);
    let capabilities = [
        confine::CAP_BPF,
        confine::CAP_PERFMON,
        confine::CAP_SYS_PTRACE,
        confine::CAP_DAC_READ_SEARCH,
    ];
    let served = Served::spawn(confine::as_nobody(
        &capabilities,
        &["watch", "--metrics", "127.0.0.1:0", "--interval", "200ms"],
    ));
    let pid = s.pid.to_string();
    let page = served.page_with(|page| !values(page, "lastref_exhaustion_seconds", &[]).is_empty());
    assert!(
        value(
            &page,
            "lastref_open_handles",
            &[("pid", &pid), ("name", "many_files")]
        ) > 0.0
    );
    assert!(value(&page, "lastref_orphan_pins", &[("kind", "map")]) >= 1.0);
    // What these do not show is said (docs/privileges.md).
    assert!(value(&page, "lastref_cannot_see", &[]) >= 1.0);
}
