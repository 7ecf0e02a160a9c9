//! How long it takes to attach to a process and to look at it, for 10,000 handles in heaps of 16 MiB, 256 MiB and 1 GiB.
//!
//! `cargo run --release -p lastref-goheap --example look [HANDLES] [MIB…]`, `--pid PID` for one that runs, or
//! `--goroutines COUNT` for one with so many of them.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Build, Live, Running, build, regions};
use gobinary::Executable;
use goheap::{Heap, Program};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<u32>().expect("a number");
    if let [flag, pid] = &arguments[..]
        && flag == "--pid"
    {
        look("the process", number(pid), 3);
        return;
    }
    if let [flag, count] = &arguments[..]
        && flag == "--goroutines"
    {
        let built = build("owners", None, Build::Stripped, "amd64");
        let mut running = Running::start(&built, &[]);
        for command in ["keep 1000", &format!("goroutines {count}"), "gc"] {
            running.tell(command);
        }
        look(&format!("{count} goroutines"), running.pid(), 10);
        return;
    }
    let count = arguments.first().map_or(10_000, number);
    let mut sizes: Vec<u32> = arguments.iter().skip(1).map(number).collect();
    if sizes.is_empty() {
        sizes = vec![16, 256, 1024];
    }
    let built = build("many", None, Build::Stripped, "amd64");
    for size in sizes {
        let mut child = Command::new(&built.path)
            .args([count.to_string(), size.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("it answers");
        look(&format!("{size} MiB"), child.id(), 20);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn look(what: &str, pid: u32, times: usize) {
    let exe = format!("/proc/{pid}/exe");
    let mut best = [f64::MAX; 3];
    let mut worst = [0.0_f64; 3];
    let (mut calls, mut bytes, mut specials) = (0, 0, 0);
    for _ in 0..times {
        let began = Instant::now();
        let file = fs::File::open(&exe).expect("its executable");
        let executable = Executable::open(&file).expect("an executable");
        let regions = regions(pid);
        let memory = Live::of(pid);
        let program = Program {
            executable: &executable,
            regions: &regions,
            file: None,
            layout: None,
        };
        let mut heap = Heap::attach(&memory, &program).expect("a heap");
        let attached = began.elapsed();
        let before = memory.calls.load(Ordering::Relaxed);
        let look = heap.look_with(&|_| 8).expect("a look");
        let looked = began.elapsed().saturating_sub(attached);
        calls = memory.calls.load(Ordering::Relaxed) - before;
        bytes = memory.bytes.load(Ordering::Relaxed);
        specials = look.specials.len();
        let times = [attached, looked, attached + looked].map(|time| time.as_secs_f64() * 1e3);
        for i in 0..3 {
            best[i] = best[i].min(times[i]);
            worst[i] = worst[i].max(times[i]);
        }
    }
    println!(
        "{what}: {specials} specials; attach {:.2}..{:.2} ms, look {:.2}..{:.2} ms, both {:.2}..{:.2} ms; {calls} calls, {} KiB",
        best[0],
        worst[0],
        best[1],
        worst[1],
        best[2],
        worst[2],
        bytes >> 10
    );
}
