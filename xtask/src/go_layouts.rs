//! Makes the table of the layouts of Go's runtime: builds a small program with each release for each
//! architecture, and reads its DWARF.
//!
//! Needs `go` 1.21 or newer, which fetches the other releases (`GOTOOLCHAIN`).

use crate::command;
use anyhow::{Context, Result, bail};
use gobinary::layout::{Arch, Layout};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The table, from the root of the workspace.
const TABLE: &str = "crates/gobinary/src/layout/layouts.json";

/// One release of each minor: the last patch that was there when it was added.
const RELEASES: [&str; 10] = [
    "1.18.10", "1.19.13", "1.20.14", "1.21.13", "1.22.12", "1.23.12", "1.24.11", "1.25.5",
    "1.26.8", "1.27.4",
];

/// Refers to what drags the runtime's structs into the program, and their types into its DWARF.
const MAIN: &str = r#"package main

import (
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

type object struct{ p *int }

var table = map[string]*object{}

func main() {
	o := &object{}
	runtime.SetFinalizer(o, func(*object) {})
	since(o)
	table[os.Args[0]] = o
	var records [10]runtime.MemProfileRecord
	runtime.MemProfile(records[:], true)
	defer func() { recover() }()
	c := make(chan int)
	select {
	case <-c:
	case <-time.After(time.Duration(runtime.NumGoroutine())):
	}
	net.Listen("tcp", "127.0.0.1:0")
	debug.SetGCPercent(100)
	runtime.GC()
}
"#;

/// What only newer releases have.
const SINCE: [(u16, &str); 2] = [
    (18, "package main\n\nfunc since(*object) {}\n"),
    (
        24,
        "package main\n\nimport (\n\t\"runtime\"\n\t\"weak\"\n)\n\nfunc since(o *object) {\n\
         \tw := weak.Make(o)\n\truntime.AddCleanup(o, func(int) {}, 7).Stop()\n\truntime.KeepAlive(w.Value())\n}\n",
    ),
];

/// Reads the layouts of these releases, or of all, and writes the table.
pub fn run(root: &Path, releases: &[String]) -> Result<()> {
    let path = root.join(TABLE);
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    if !releases.is_empty() {
        let text = fs::read_to_string(&path)?;
        let old: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text)?;
        table.extend(
            old.into_iter()
                .map(|(key, value)| (key, value.get().to_owned())),
        );
    }
    let all = RELEASES.map(str::to_owned);
    for release in if releases.is_empty() {
        &all[..]
    } else {
        releases
    } {
        for arch in Arch::ALL {
            let minor = minor(release)?;
            eprintln!("go {release} {arch}");
            let layout =
                layout(release, minor, arch).with_context(|| format!("go {release} {arch}"))?;
            table.insert(format!("1.{minor}/{arch}"), layout.to_json()?);
        }
    }
    let lines: Vec<String> = table
        .iter()
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n")))?;
    Ok(())
}

/// `26` of `1.26.8`.
fn minor(release: &str) -> Result<u16> {
    let minor = release
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok());
    match minor {
        Some(minor) if release.starts_with("1.") => Ok(minor),
        _ => bail!("{release} is not a release of Go, such as 1.26.8"),
    }
}

/// Builds the program and reads it.
fn layout(release: &str, minor: u16, arch: Arch) -> Result<Layout> {
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("go.mod"),
        format!("module layouts\n\ngo 1.{minor}\n"),
    )?;
    fs::write(folder.path().join("main.go"), MAIN)?;
    let since = SINCE.iter().rev().find(|(from, _)| minor >= *from);
    fs::write(
        folder.path().join("since.go"),
        since.map_or("", |(_, text)| text),
    )?;
    let program = folder.path().join("layouts");
    command::output(
        Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(folder.path())
            .env("GOTOOLCHAIN", format!("go{release}"))
            .env("GOARCH", arch.name())
            .env("GOOS", "linux")
            .env("CGO_ENABLED", "0")
            // Go 1.19 takes a release that was fetched for a module without packages, if it may use its index.
            .env("GODEBUG", "goindex=0")
            .env("GOFLAGS", "-buildvcs=false"),
    )?;
    Ok(Layout::from_dwarf(&fs::read(program)?)?)
}
