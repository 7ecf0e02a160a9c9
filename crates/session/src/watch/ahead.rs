//! Limits ahead of a series that grows.

use model::{Exhaustion, Holder, Kind, Leak, LeakEvent, Object};
use process::Proc;
use process::limits::{Limit, memory_limit};
use std::path::PathBuf;

/// The limits that it will meet if it goes on as it does, the nearest first.
pub fn exhausts(proc: &Proc, event: &LeakEvent, objects: &[Object]) -> Vec<Exhaustion> {
    if event.leak < Leak::Suspected || event.per_second <= 0.0 {
        return vec![];
    }
    let mut found = Vec::new();
    let mut add = |limit: &str, at: Limit, per_second: f64, assumes: String| {
        let left = at.value.saturating_sub(at.used) as f64;
        let seconds = left / per_second;
        // Longer than a hundred years is never.
        if per_second > 0.0 && seconds < 3.2e9 {
            found.push(Exhaustion {
                limit: limit.into(),
                value: at.value,
                used: at.used,
                in_seconds: seconds as u64,
                assumes,
            });
        }
    };
    // Dups are descriptors, and no files; and where each handle is on an object of its own, memory
    // grows too.
    let nearly = |part: u64, whole: u64| part.saturating_mul(10) >= whole.saturating_mul(9);
    let files = nearly(event.open, event.open_fds);
    let objects_grow = files && event.objects.count > 0 && nearly(event.objects.count, event.open);
    if let Holder::Process(process) = &event.holder
        && event.open_fds > 0
    {
        if event.holders == 1
            && let Ok(at) = proc.open_files(process.tid.unwrap_or(process.pid))
        {
            let assumes = "its other descriptors stay as many".to_owned();
            add("RLIMIT_NOFILE", at, event.per_second, assumes);
        }
        if files && let Ok(at) = proc.file_table() {
            let assumes = "nobody else opens more files".to_owned();
            add("fs.file-max", at, event.per_second, assumes);
        }
    }
    if objects_grow {
        let each = event.memory_bytes as f64 / event.objects.count as f64;
        let bytes = each * event.per_second;
        let charged = event.charged_to.as_deref();
        if let Some(memory) = charged.and_then(|path| memory_limit(&mounts(), path)) {
            let assumes = format!("cgroup {} is charged for no more else", memory.cgroup);
            add(memory.file, memory.limit, bytes, assumes);
        }
        if event.objects.kind == Kind::Prog
            && let Ok(value) = proc.jit_limit()
        {
            let progs = objects.iter().filter(|o| o.facts.kind == Kind::Prog);
            let used = progs.filter_map(|o| o.facts.memory_bytes).sum();
            let assumes =
                "machine code takes as much as its program; beyond the limit programs of \
                           users without CAP_BPF are refused (seccomp, socket filters)"
                    .to_owned();
            add("bpf_jit_limit", Limit { value, used }, bytes, assumes);
        }
    }
    found.sort_by_key(|exhaustion| exhaustion.in_seconds);
    found
}

/// Where hierarchies with a memory controller may be mounted.
fn mounts() -> Vec<PathBuf> {
    [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/unified",
    ]
    .map(PathBuf::from)
    .to_vec()
}
