//! What is said of a process, against `/proc`.

use serde_json::Value;

/// What the report says of a process against `/proc`; empty if they agree.
pub(super) fn about_process(holder: &Value) -> Vec<String> {
    let Some(pid) = holder["pid"].as_u64() else {
        return vec![format!("a process without a pid: {holder}")];
    };
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let (Ok(stat), Ok(comm)) = (read("stat"), read("comm")) else {
        return vec![format!("process {pid} does not exist")];
    };
    // Field 22, counted from the state, which is field 3 (proc_pid_stat(5)).
    let after_comm = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let started = after_comm
        .split(' ')
        .nth(19)
        .and_then(|t| t.parse::<u64>().ok());
    let mut wrong = Vec::new();
    if holder["start_ticks"].as_u64() != started {
        wrong.push(format!(
            "process {pid}: start_ticks is {}, /proc says {started:?}",
            holder["start_ticks"]
        ));
    }
    if holder["comm"].as_str() != Some(comm.trim_end()) {
        wrong.push(format!(
            "process {pid}: comm is {}, /proc says {comm:?}",
            holder["comm"]
        ));
    }
    // Unreadable links are not asked of a report either.
    if let Ok(exe) = std::fs::read_link(format!("/proc/{pid}/exe"))
        && holder["exe"].as_str() != exe.to_str()
    {
        wrong.push(format!(
            "process {pid}: exe is {}, /proc says {}",
            holder["exe"],
            exe.display()
        ));
    }
    let status = read("status").unwrap_or_default();
    let inside = status.lines().find_map(|l| l.strip_prefix("NSpid:"));
    let inside = inside.and_then(|l| l.split_ascii_whitespace().last()?.parse::<u64>().ok());
    if holder["ns_pid"].as_u64() != inside {
        wrong.push(format!(
            "process {pid}: ns_pid is {}, /proc says {inside:?}",
            holder["ns_pid"]
        ));
    }
    wrong
}
