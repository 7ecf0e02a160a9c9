//! How many instructions the verifier goes through for each of lastref's walks.
//!
//! lastref unloads its programs before it prints, so they are caught while it runs:
//! ids of programs only grow, and each new one that `/proc/PID/fdinfo` shows in
//! lastref's hands is its own. Probes of libbpf are no tracing programs.

use crate::bpf::{self, ProgInfo};
use crate::peers::Runner;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

/// One walk's program.
#[derive(Debug, Clone, Serialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier went through on all paths.
    pub verified_insns: u32,
    /// Bytes of BPF code.
    pub xlated_bytes: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
}

/// Runs lastref a few times and notes the programs that it loads. An inner map whose
/// outer map makes it wanted brings the staged walks in.
pub fn programs(runner: &Runner) -> Result<Vec<Program>> {
    const RUNS: usize = 5;
    let inner = bpf::create_array("bench_inner")?;
    let _outer = bpf::create_outer("bench_outer", &inner)?;
    let mut found = BTreeMap::new();
    for _ in 0..RUNS {
        one_run(runner, &mut found)?;
    }
    Ok(found.into_values().collect())
}

fn one_run(runner: &Runner, found: &mut BTreeMap<String, Program>) -> Result<()> {
    let mut last = 0;
    while let Some(id) =
        bpf::next_prog(last).context("BPF_PROG_GET_NEXT_ID: needs CAP_SYS_ADMIN")?
    {
        last = id;
    }
    let mut child = runner
        .lastref(&["ls", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let mut news: Vec<(u32, ProgInfo)> = Vec::new();
    let mut theirs: Vec<u32> = Vec::new();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let mut is_new = false;
        while let Some(id) = bpf::next_prog(last)? {
            last = id;
            // It may be gone already.
            if let Ok(info) = bpf::prog_by_id(id).and_then(|prog| bpf::prog_info(&prog)) {
                is_new |= info.prog_type == bpf::TRACING;
                news.push((id, info));
            }
        }
        if is_new {
            theirs.extend(held_by(child.id()));
        }
    };
    anyhow::ensure!(ended.success(), "lastref ls --json failed: {ended}");
    for (id, info) in news {
        if info.prog_type == bpf::TRACING && theirs.contains(&id) {
            let program = Program {
                name: info.name(),
                verified_insns: info.verified_insns,
                xlated_bytes: info.xlated_len,
                jited_bytes: info.jited_len,
            };
            found.insert(program.name.clone(), program);
        }
    }
    Ok(())
}

/// Ids of the programs that a process has descriptors on. Empty once it has ended.
pub fn held_by(pid: u32) -> Vec<u32> {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return Vec::new();
    };
    let infos = folder.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    infos
        .filter_map(|text| {
            let line = text.lines().find_map(|l| l.strip_prefix("prog_id:"))?;
            line.trim().parse().ok()
        })
        .collect()
}
