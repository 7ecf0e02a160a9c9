//! A command for `lastref watch -- COMMAND`: does what its words say, one after the other.
//!
//! | word | |
//! |---|---|
//! | `map NAME` | makes a hash map, and keeps its descriptor |
//! | `mapped NAME` | makes an array, and maps it into memory |
//! | `trace NAME` | makes a program that uses the map, and a raw tracepoint link: the link alone is kept |
//! | `dup` | one more descriptor on the same file |
//! | `keep` | an exec does not close the map |
//! | `beside …` `end` | a child with the same descriptor table (`CLONE_FILES`) does that and exits |
//! | `open N MS` | N more files on the map, one every MS milliseconds |
//! | `close` | closes all |
//! | `range` | closes all, by `close_range(2)` |
//! | `pass` | the map's descriptor through a socket (`SCM_RIGHTS`): it comes back as another |
//! | `flight` | the same, and it is never received |
//! | `pin PATH` | pins the map |
//! | `fork … end` | a child does that and exits with 0; waits for it |
//! | `leave … end` | a child does that, and lives until it is killed; goes on once the child is so far |
//! | `slay` | kills the child that was left; goes on once its descriptor table is gone, and does not wait for more |
//! | `slow N` | makes the end take long: N files that the kernel takes some 15 ms each to let go of |
//! | `thread` | a thread that outlives the main one, and ends the process |
//! | `exec …` | this program again, with these words |
//! | `become PATH …` | the program there, with these words |
//! | `say TEXT` | a line on standard output |
//! | `wait` | for a line on standard input |
//! | `sleep MS` | |
//! | `exit N`, `kill N` | ends, with a status or by a signal |

use e2e::bpf::{self, Object, ProgSpec, prog_type};
use e2e::{insn, unix};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;
use std::time::Duration;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    act(&words);
}

fn act(words: &[String]) {
    let mut words = words.iter().map(String::as_str);
    let mut map: Option<Object> = None;
    let mut more: Vec<Object> = Vec::new();
    let mut dups: Vec<OwnedFd> = Vec::new();
    let mut sockets: Vec<OwnedFd> = Vec::new();
    let mut left = None;
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_else(|| panic!("{word} what?"));
        let object = |map: &Option<Object>| map.as_ref().map(|map| map.dup().expect("a dup"));
        match word {
            "map" => {
                let made = bpf::hash(next()).expect("a map");
                more.extend(map.replace(made));
            }
            "mapped" => {
                let made = bpf::mmapable_array(next()).expect("a map");
                let (read, fd) = (libc::PROT_READ, made.as_raw_fd());
                // SAFETY: a new mapping, which nobody uses.
                let at = unsafe { libc::mmap(null_mut(), 4096, read, libc::MAP_SHARED, fd, 0) };
                assert!(at != libc::MAP_FAILED, "mmap");
                more.extend(map.replace(made));
            }
            "trace" => {
                let link = trace(next(), map.take().as_ref().expect("a map"));
                more.push(link);
            }
            "keep" => {
                let fd = map.as_ref().expect("a map").as_raw_fd();
                // SAFETY: integers only.
                assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
            }
            "dup" => dups.extend(object(&map)),
            "open" => {
                let (count, pause) = (number(next()), number(next()));
                for _ in 0..count {
                    more.push(map.as_ref().expect("a map").reopen().expect("a file"));
                    std::thread::sleep(Duration::from_millis(pause));
                }
            }
            "close" => {
                map = None;
                more.clear();
                dups.clear();
            }
            "range" => {
                let all = map.take().into_iter().chain(more.drain(..));
                let mut fds: Vec<u32> = all.map(Object::leak).collect();
                fds.extend(dups.drain(..).map(|dup| dup.into_raw_fd() as u32));
                close_ranges(fds);
            }
            "pass" | "flight" => {
                let (one, other) = unix::pair(libc::SOCK_STREAM).expect("two sockets");
                let sent = map.take().expect("a map");
                unix::send(&one, &[&sent]).expect("it is sent");
                let kind = sent.kind;
                drop(sent);
                if word == "pass" {
                    let mut received = unix::receive(&other, 0).expect("it is received");
                    let fd = received.pop().expect("a descriptor");
                    map = Some(Object::from_fd(kind, fd).expect("a map"));
                } else {
                    sockets.extend([one, other]);
                }
            }
            "pin" => {
                let path = Path::new(next());
                map.as_ref().expect("a map").pin(path).expect("a pin");
            }
            "fork" | "beside" => {
                let inner = words.by_ref().take_while(|&word| word != "end");
                let inner: Vec<String> = inner.map(str::to_owned).collect();
                let flags = if word == "beside" {
                    libc::CLONE_FILES
                } else {
                    0
                };
                fork(flags, &inner);
            }
            "leave" => {
                let inner = words.by_ref().take_while(|&word| word != "end");
                let inner: Vec<String> = inner.map(str::to_owned).collect();
                left = Some(leave(&inner));
            }
            "slay" => {
                slay(left.take().expect("a child that was left"));
            }
            "slow" => sockets.extend((0..number(next())).map(|_| slow())),
            "thread" => {
                std::thread::spawn(|| {
                    std::thread::sleep(Duration::from_millis(50));
                    std::process::exit(0);
                });
                // SAFETY: ends this thread only; what it has stays for the other.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            }
            "exec" => {
                let me = std::env::current_exe().expect("/proc is mounted");
                let rest = words.by_ref().collect::<Vec<_>>();
                panic!("{}", Command::new(me).args(rest).exec());
            }
            "become" => {
                let path = next();
                let rest = words.by_ref().collect::<Vec<_>>();
                panic!("{path}: {}", Command::new(path).args(rest).exec());
            }
            "wait" => {
                let read = std::io::stdin().read_line(&mut String::new());
                assert!(read.is_ok_and(|bytes| bytes > 0), "nobody is there");
            }
            "say" => println!("{}", next()),
            "sleep" => std::thread::sleep(Duration::from_millis(number(next()))),
            "exit" => std::process::exit(number(next()) as i32),
            "kill" => {
                // SAFETY: no pointers.
                unsafe { libc::raise(number(next()) as i32) };
            }
            other => panic!("{other}?"),
        }
    }
    // Open to the last: nothing is dropped before the process is gone.
    std::mem::forget((map, more, dups, sockets));
}

fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("{word} is no number"))
}

/// Neighbours in one call.
fn close_ranges(mut fds: Vec<u32>) {
    fds.sort_unstable();
    for range in fds.chunk_by(|a, b| a + 1 == *b) {
        let (first, last) = (range[0], range[range.len() - 1]);
        // SAFETY: integers only; nobody else has these descriptors.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        assert_eq!(closed, 0, "close_range");
    }
}

fn fork(flags: i32, words: &[String]) {
    let flags = i64::from(flags | libc::SIGCHLD);
    // SAFETY: there is one thread, and without a stack of its own the child goes on on a copy of ours.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } as i32;
    assert!(pid >= 0, "clone");
    if pid == 0 {
        act(words);
        std::process::exit(0);
    }
    // SAFETY: our own child.
    unsafe { libc::waitpid(pid, null_mut(), 0) };
}

/// A child that does this and then stands still. Gives its pid once it does.
fn leave(words: &[String]) -> i32 {
    let (mut read, mut write) = std::io::pipe().expect("a pipe");
    // SAFETY: there is one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        act(words);
        write.write_all(b".").expect("the parent reads");
        loop {
            std::thread::park();
        }
    }
    drop(write);
    let done = read.read_exact(&mut [0]);
    done.expect("the child comes so far");
    pid
}

/// In `do_exit` the table goes first (`exit_files`), what was in it later (`exit_task_work`).
fn slay(pid: i32) {
    // SAFETY: our own child, which nobody has waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0, "kill");
    let table = format!("/proc/{pid}/fd");
    let any = || std::fs::read_dir(&table).is_ok_and(|mut fds| fds.next().is_some());
    while any() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn trace(name: &str, map: &Object) -> Object {
    let insns = insn::uses_maps(&[map.as_raw_fd()], 0);
    let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, name, insns).load();
    let link = bpf::raw_tracepoint(&prog.expect("a program"), Some("sched_kthread_stop"));
    link.expect("a link")
}

/// A packet socket: `packet_release` waits for an RCU grace period (`synchronize_net`).
fn slow() -> OwnedFd {
    // SAFETY: integers only.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0, "a packet socket");
    // SAFETY: it is new, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
