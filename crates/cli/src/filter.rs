//! Which objects `lastref ls` is asked for.

use crate::args::{FailOn, ListKind, LsArgs};
use crate::exit::Usage;
use crate::fail;
use model::{Holder, Kind, Object, ObjectId, State};
use std::collections::HashSet;

/// Words that can match nothing are a mistake, above all in a check with `--fail-on`.
/// `listed` are the objects of a report, whose types this lastref may not know.
pub fn check<'a>(
    args: &LsArgs,
    mut listed: impl Iterator<Item = &'a Object>,
) -> anyhow::Result<()> {
    if let Some(word) = &args.type_name {
        let kind = args.kind.map(ListKind::kind);
        let known = session::types(kind);
        let is_listed =
            |o: &Object| o.facts.type_name == *word && kind.is_none_or(|kind| kind == o.facts.kind);
        if !known.contains(word) && !listed.any(is_listed) {
            let mut kinds = Kind::ALL.into_iter();
            let other = kinds.find(|&k| session::types(Some(k)).contains(word));
            let hint = match other {
                Some(kind) => format!("it is a type of {kind}s"),
                None => format!("known are {}", known.join(", ")),
            };
            let of = kind.map_or(String::new(), |kind| format!(" of {kind}s"));
            return Err(Usage(format!("there is no type `{word}`{of}; {hint}")).into());
        }
    }
    if let Some(cgroup) = &args.cgroup {
        check_cgroup(cgroup)?;
    }
    Ok(())
}

/// Paths of a mounted hierarchy match nothing.
pub fn check_cgroup(cgroup: &str) -> Result<(), Usage> {
    let hint = "write it as /proc/PID/cgroup does, such as /system.slice/agent.service";
    if !cgroup.starts_with('/') || cgroup.starts_with("/sys/fs/cgroup/") {
        return Err(Usage(format!("`{cgroup}` is no cgroup's path: {hint}")));
    }
    Ok(())
}

/// The same cgroup, or one below it.
pub fn is_below(path: &str, cgroup: &str) -> bool {
    path.strip_prefix(cgroup.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the list is narrowed by, as on the command line.
pub fn words(args: &LsArgs) -> Vec<String> {
    let mut words = Vec::new();
    let mut option = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("--{name} {value}")));
    };
    option("pid", args.pid.map(|pid| pid.to_string()));
    option("name", args.name.as_ref().map(|n| n.as_str().to_owned()));
    option("type", args.type_name.clone());
    option("state", state(args).map(|s| s.to_string()));
    option("cgroup", args.cgroup.clone());
    if args.unexplained {
        words.push("--unexplained".into());
    }
    words.extend(args.kind.map(|kind| kind.as_str().to_owned()));
    words
}

fn state(args: &LsArgs) -> Option<State> {
    if args.orphans {
        Some(State::OrphanPin)
    } else {
        args.state
    }
}

/// All filters of the command line as one.
pub fn keep<'a>(args: &'a LsArgs, all: &[Object]) -> impl Fn(&Object) -> bool + use<'a> {
    let held = args.pid.map(|pid| held_by(all, pid));
    let state = state(args);
    move |object| {
        let facts = &object.facts;
        let kind = match args.kind {
            None => true,
            Some(list) => facts.kind == list.kind(),
        };
        kind && held
            .as_ref()
            .is_none_or(|held| facts.object_id().is_some_and(|id| held.contains(&id)))
            && args
                .name
                .as_ref()
                .is_none_or(|glob| glob.matches(&facts.name))
            && args
                .type_name
                .as_ref()
                .is_none_or(|t| *t == facts.type_name)
            && state.is_none_or(|s| s == object.state)
            && (!args.unexplained || fail::fails(FailOn::Unexplained, object))
            && args.cgroup.as_ref().is_none_or(|c| in_cgroup(object, c))
    }
}

/// Objects that a process holds: with a descriptor or mapping of its own, or
/// through a program, link or map that it holds.
fn held_by(all: &[Object], pid: u32) -> HashSet<ObjectId> {
    let is_it = |holder: &Holder| matches!(holder, Holder::Process(p) if p.pid == pid || p.tid == Some(pid));
    all.iter()
        .filter(|object| object.holders_and_ends().any(is_it))
        .filter_map(|object| object.facts.object_id())
        .collect()
}

/// Held from this cgroup or one below it, or charged to it.
fn in_cgroup(object: &Object, cgroup: &str) -> bool {
    let below = |path: &str| is_below(path, cgroup);
    object.facts.charged_to.as_deref().is_some_and(below)
        || object.holders_and_ends().any(
            |holder| matches!(holder, Holder::Process(p) if p.cgroup.as_deref().is_some_and(below)),
        )
}
