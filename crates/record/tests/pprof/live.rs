//! Profiles of a real program, against what the program knows of itself.

use record::{HeapProfile, ProfileError, heap_profile};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What the runtime told, as `told` in the program writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    objects: u64,
    bytes: u64,
    frames: Vec<ToldFrame>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ToldFrame {
    function: String,
    file: String,
    line: u32,
    inlined: bool,
}

/// The profiles of the program with everything counted.
fn profiles() -> &'static Path {
    static DONE: OnceLock<TempDir> = OnceLock::new();
    DONE.get_or_init(|| run("local", "1")).path()
}

/// Builds the program with a release of Go, and runs it: a folder of profiles.
fn run(go: &str, rate: &str) -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let program = dir.path().join("heap-program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/heap");
    let done = Command::new("go")
        .env("GOTOOLCHAIN", go)
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .current_dir(source)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .output()
        .expect("the go command is installed");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{go}: {said}");
    let done = Command::new(&program)
        .env_remove("GODEBUG")
        .env_remove("GOGC")
        .arg(dir.path())
        .arg(rate)
        .output()
        .expect("it was just built");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{go}: {said}");
    dir
}

fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).expect("the program wrote it")
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    decoder.read_to_end(&mut out).expect("Go packed it");
    out
}

type Frames = Vec<(String, String, u32, bool)>;

/// Objects and bytes by stack, of stacks that no release cuts.
fn read_stacks(profile: &HeapProfile) -> HashMap<Frames, (u64, u64)> {
    let stacks = profile.stacks.iter().filter(|one| one.site.complete);
    let stacks = stacks.map(|one| {
        let frames = one.site.frames.iter().map(|frame| {
            let file = frame.file.clone().expect("Go names files");
            let line = frame.line.expect("Go names lines");
            (frame.function.clone(), file, line, frame.inlined)
        });
        (frames.collect(), (one.in_use_objects, one.in_use_bytes))
    });
    stacks.collect()
}

fn told_stacks(dir: &Path) -> HashMap<Frames, (u64, u64)> {
    let told: Vec<Told> = serde_json::from_slice(&bytes(dir, "told.json")).expect("JSON");
    let mut stacks = HashMap::new();
    for one in told {
        let deep = one.frames.len() >= 24;
        if one.bytes == 0 || deep {
            continue;
        }
        let frames = one.frames.into_iter();
        let frames: Frames = frames
            .map(|frame| (frame.function, frame.file, frame.line, frame.inlined))
            .collect();
        let all: &mut (u64, u64) = stacks.entry(frames).or_default();
        all.0 += one.objects;
        all.1 += one.bytes;
    }
    stacks
}

fn of<'a>(profile: &'a HeapProfile, function: &str) -> Vec<&'a record::ProfiledStack> {
    let stacks = profile.stacks.iter();
    stacks
        .filter(|one| {
            one.site
                .frames
                .first()
                .is_some_and(|f| f.function == function)
        })
        .collect()
}

fn check(dir: &Path) {
    let profile = heap_profile(&bytes(dir, "heap")).expect("it is a heap profile");
    let told = told_stacks(dir);
    assert!(told.len() > 5, "{}", told.len());
    assert_eq!(read_stacks(&profile), told);
    assert_eq!(profile.sample_rate, Some(1));
    let program = dir.join("heap-program").display().to_string();
    assert_eq!(profile.executable, Some(program));
    assert!(profile.taken.is_some_and(|t| t > 1_600_000_000_000_000_000));
    assert!(
        profile
            .stacks
            .is_sorted_by(|a, b| a.in_use_bytes >= b.in_use_bytes)
    );
    let bytes: u64 = profile.stacks.iter().map(|one| one.in_use_bytes).sum();
    assert_eq!(profile.in_use_bytes, bytes);

    let keep = of(&profile, "main.keep");
    let counts: Vec<_> = keep.iter().map(|one| one.in_use_objects).collect();
    assert_eq!(counts, [100, 7, 3]);
    assert_eq!(keep[0].in_use_bytes, 100 * 65536);
    // Three hundred calls deep: more than any release keeps.
    assert!(keep[0].site.complete && keep[1].site.complete && !keep[2].site.complete);
    let node = of(&profile, "main.newNode");
    assert_eq!(node.len(), 1);
    assert_eq!(node[0].in_use_objects, 1000);
    let frames = &node[0].site.frames;
    assert_eq!(frames[1].function, "main.grow");
    assert!(frames[0].inlined && !frames[1].inlined);
    assert!(of(&profile, "main.drop").is_empty());
}

#[test]
fn it_says_what_the_runtime_says() {
    check(profiles());
}

/// Slow, as it builds with ten releases.
#[test]
#[ignore = "builds with releases that may have to be fetched"]
fn every_release_is_read() {
    for go in [
        "go1.18.10",
        "go1.19.13",
        "go1.20.14",
        "go1.21.13",
        "go1.22.12",
        "go1.23.12",
        "go1.24.11",
        "go1.25.5",
        "go1.26.0",
        "go1.27.3",
    ] {
        check(run(go, "1").path());
    }
}

#[test]
fn other_ways_to_the_same_profile_say_the_same() {
    let dir = profiles();
    let read = |bytes: &[u8]| {
        let profile = heap_profile(bytes).expect("it is a heap profile");
        read_stacks(&profile)
    };
    let heap = bytes(dir, "heap");
    let stacks = read(&heap);
    assert_eq!(read(&unpacked(&heap)), stacks);
    assert_eq!(read(&bytes(dir, "heap0")), stacks);
    assert_eq!(read(&bytes(dir, "allocs0")), stacks);
}

#[test]
fn a_sampled_profile_is_an_estimate() {
    let dir = run("local", "");
    let profile = heap_profile(&bytes(dir.path(), "heap")).expect("it is a heap profile");
    assert_eq!(profile.sample_rate, Some(512 * 1024));
    let keep = of(&profile, "main.keep");
    let bytes: u64 = keep.iter().map(|one| one.in_use_bytes).sum();
    // 7 MB; that it is off by as much as this has a chance of one in millions.
    assert!((1 << 20..64 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn a_program_that_does_not_profile_is_told() {
    let dir = run("local", "0");
    let profile = heap_profile(&bytes(dir.path(), "heap")).expect("it is a heap profile");
    assert_eq!(profile.sample_rate, None);
}

#[test]
fn what_else_there_is_is_named() {
    let dir = profiles();
    for (name, words) in [
        ("cpu", "a CPU profile (samples/count, cpu/nanoseconds)"),
        ("goroutine0", "a goroutine profile (goroutine/count)"),
        ("threadcreate0", "a thread profile (threadcreate/count)"),
        ("block0", "a block or mutex profile"),
        ("mutex0", "a block or mutex profile"),
        ("heap1", "a heap profile as text"),
        ("heap2", "a heap profile as text"),
        ("allocs1", "a heap profile as text"),
        ("goroutine1", "a goroutine profile as text"),
        ("goroutine2", "a list of goroutines as text"),
        ("threadcreate1", "a thread profile as text"),
        ("block1", "a block profile as text"),
        ("mutex1", "a mutex profile as text"),
        ("dump", "a heap dump"),
        ("heap-program", "an ELF file"),
        ("told.json", ""),
    ] {
        let error = heap_profile(&bytes(dir, name)).expect_err(name);
        let text = error.to_string();
        assert!(text.contains(words), "{name}: {text}");
        assert!(text.contains("/debug/pprof/heap"), "{name}: {text}");
    }
}

#[test]
fn cut_off_anywhere_it_is_an_error() {
    let packed = bytes(profiles(), "heap");
    for end in 1..packed.len() {
        let error = heap_profile(&packed[..end]).expect_err("it is cut off");
        let no_gzip_yet = end < 2;
        assert!(
            no_gzip_yet || error == ProfileError::Truncated,
            "{end}: {error}"
        );
    }
    let plain = unpacked(&packed);
    for end in 0..plain.len() {
        heap_profile(&plain[..end]).expect_err("it is cut off");
    }
}
