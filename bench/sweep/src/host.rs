//! What the figures were measured on. No name of a host, no path.

use serde::Serialize;
use std::fs;
use std::process::Command;

/// The machine and its tools. What cannot be read is null.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// Kernel release.
    pub kernel: String,
    /// As the kernel names it.
    pub architecture: String,
    /// Model of the first processor.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cpus: Option<usize>,
    /// Whether the processor says that it runs under a hypervisor.
    pub virtual_machine: Option<bool>,
    /// Memory.
    pub memory_mib: Option<u64>,
    /// `net.core.bpf_jit_enable`
    pub bpf_jit: Option<u32>,
    /// Processes when the benchmark began.
    pub processes: Option<usize>,
    /// First line of `lastref --version`.
    pub lastref: Option<String>,
    /// First line of `bpftool version`.
    pub bpftool: Option<String>,
    /// Its line of features: without skeletons it shows no pids.
    pub bpftool_features: Option<String>,
    /// Revision of lsof.
    pub lsof: Option<String>,
}

impl Host {
    /// Looks.
    pub fn read(lastref: &mut Command) -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok();
        let bpftool = said(Command::new("bpftool").arg("version"));
        Self {
            kernel: uname.release().to_string_lossy().into_owned(),
            architecture: uname.machine().to_string_lossy().into_owned(),
            cpu: cpuinfo
                .as_deref()
                .and_then(|text| value(text, "model name")),
            cpus: std::thread::available_parallelism().ok().map(usize::from),
            virtual_machine: cpuinfo
                .as_deref()
                .and_then(|text| value(text, "flags"))
                .map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory_mib: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| value(&text, "MemTotal"))
                .and_then(|total| total.strip_suffix(" kB")?.parse().ok())
                .map(|kib: u64| kib / 1024),
            bpf_jit: fs::read_to_string("/proc/sys/net/core/bpf_jit_enable")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            processes: processes(),
            lastref: said(lastref.arg("--version")).and_then(|text| line(&text, 0)),
            bpftool: bpftool.as_deref().and_then(|text| line(text, 0)),
            bpftool_features: bpftool.as_deref().and_then(|text| value(text, "features")),
            lsof: said(Command::new("lsof").arg("-v")).and_then(|text| value(&text, "revision")),
        }
    }
}

/// The load of the last minute, as `/proc/loadavg` has it.
pub fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// This process's own peak, which the kernel counts for the commands that it starts
/// (`exec_mmap` hands it on): no command's figure can be below it.
pub fn own_peak_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    value(&text, "VmHWM")?.strip_suffix(" kB")?.parse().ok()
}

fn processes() -> Option<usize> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let is_pid = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    Some(entries.filter(|entry| is_pid(&entry.file_name())).count())
}

/// Both streams of a command.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let both = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&both).into_owned())
}

fn line(text: &str, number: usize) -> Option<String> {
    text.lines().nth(number).map(|line| line.trim().to_owned())
}

/// What follows `key` and a colon.
fn value(text: &str, key: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim_start);
    let rest = lines.find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'))?;
    Some(rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_their_key() {
        let text = "processor\t: 0\nmodel name\t: A CPU\nmodel\t\t: 17\n";
        assert_eq!(value(text, "model name").as_deref(), Some("A CPU"));
        assert_eq!(value(text, "model").as_deref(), Some("17"));
        assert_eq!(value(text, "flags"), None);
    }
}
