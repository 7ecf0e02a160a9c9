//! `lastref ls`

use crate::args::{FailOn, ListKind, LsArgs};
use crate::exit::{Answer, Usage};
use crate::output;
use ledger::Ledger;
use model::{Holder, Kind, ListReport, Object, ObjectId, State};
use session::Sweeper;

pub fn run(args: &LsArgs) -> anyhow::Result<Answer> {
    check(args)?;
    let mut sweeper = Sweeper::new()?;
    if let Some(pid) = args.pid
        && let Err(error) = sweeper.proc().describe(pid)
        && error.is_gone()
    {
        return Err(Usage(error.to_string()).into());
    }
    let sweep = sweeper.sweep()?;
    let partial = args.common.strict && !sweep.snapshot.cannot_see.is_empty();
    let keep = keep(args, &sweep.ledger);
    let mut objects = sweep.ledger.into_objects();
    // The text says how many of our own are hidden.
    let own = args.own || !args.common.is_json();
    objects.retain(|o| keep(o) && (own || !o.facts.own));
    let sort = args.sort.unwrap_or(view::Sort::Id);
    view::sort(&mut objects, sort);
    warn_unjudged(&args.fail_on, objects.iter().filter(|o| !o.facts.own));
    let mut shown = objects.iter().filter(|o| args.own || !o.facts.own);
    let found = shown.any(|o| fails_any(&args.fail_on, o));

    let report = ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot: sweep.snapshot,
        objects,
    };
    if args.common.is_json() {
        output::json(&report)?;
    } else {
        let options = view::ListOptions {
            grouped: match (args.group, args.no_group) {
                (true, _) => view::Grouping::Always,
                (_, true) => view::Grouping::Never,
                _ => view::Grouping::Auto,
            },
            sort: args.sort,
            show_own: args.own,
            filtered: is_filtered(args),
        };
        output::print(|out| view::list(&report, &options, &output::style(), out))?;
    }
    Ok(Answer::of(partial, found))
}

/// Words that can match nothing are a mistake, above all in a check with `--fail-on`.
fn check(args: &LsArgs) -> anyhow::Result<()> {
    if let Some(word) = &args.type_name {
        let kind = args.kind.map(ListKind::kind);
        let known = session::types(kind);
        if !known.contains(word) {
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
        let hint = "write it as /proc/PID/cgroup does, such as /system.slice/agent.service";
        if !cgroup.starts_with('/') || cgroup.starts_with("/sys/fs/cgroup/") {
            let message = format!("`{cgroup}` is no cgroup's path: {hint}");
            return Err(Usage(message).into());
        }
    }
    Ok(())
}

/// Says on standard error how many accounts a condition could not be asked of.
pub fn warn_unjudged<'a>(conditions: &[FailOn], objects: impl Iterator<Item = &'a Object>) {
    if !conditions.contains(&FailOn::Unexplained) {
        return;
    }
    let unjudged = objects
        .filter(|o| o.facts.refcnt.is_some() && o.unexplained.is_none())
        .count();
    if unjudged > 0 {
        eprintln!(
            "lastref: --fail-on unexplained: {unjudged} accounts could not be judged, as holders \
             may be out of sight; --strict makes that an error"
        );
    }
}

/// Whether an object meets any condition of `--fail-on`.
pub fn fails_any(conditions: &[FailOn], object: &Object) -> bool {
    conditions.iter().any(|&c| fails(c, object))
}

/// Whether an object meets a condition of `--fail-on`. What has not settled is
/// not unexplained.
fn fails(condition: FailOn, object: &Object) -> bool {
    match condition {
        FailOn::Orphan => object.state == State::OrphanPin,
        FailOn::Unexplained => object.settled && object.unexplained.is_some_and(|n| n > 0),
    }
}

fn is_filtered(args: &LsArgs) -> bool {
    args.kind.is_some()
        || args.pid.is_some()
        || args.name.is_some()
        || args.type_name.is_some()
        || args.state.is_some()
        || args.orphans
        || args.unexplained
        || args.cgroup.is_some()
}

/// All filters of the command line as one.
fn keep<'a>(args: &'a LsArgs, ledger: &Ledger) -> impl Fn(&Object) -> bool + use<'a> {
    let held = args.pid.map(|pid| held_by(ledger, pid));
    let state = if args.orphans {
        Some(State::OrphanPin)
    } else {
        args.state
    };
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
            && (!args.unexplained || fails(FailOn::Unexplained, object))
            && args.cgroup.as_ref().is_none_or(|c| in_cgroup(object, c))
    }
}

/// Objects that a process holds: with a descriptor or mapping of its own, or
/// through a program, link or map that it holds.
fn held_by(ledger: &Ledger, pid: u32) -> std::collections::HashSet<ObjectId> {
    let is_it = |holder: &Holder| matches!(holder, Holder::Process(p) if p.pid == pid || p.tid == Some(pid));
    let objects = ledger.objects().iter();
    objects
        .filter(|object| {
            let mut direct = object.facts.references.iter().flat_map(|r| &r.holders);
            direct.any(is_it) || object.kept_by.iter().any(is_it)
        })
        .filter_map(|object| object.facts.object_id())
        .collect()
}

/// Held from this cgroup or one below it, or charged to it.
fn in_cgroup(object: &Object, cgroup: &str) -> bool {
    let cgroup = cgroup.trim_end_matches('/');
    let below = |path: &str| {
        path.strip_prefix(cgroup)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let holders = object.facts.references.iter().flat_map(|r| &r.holders);
    let mut holders = holders.chain(&object.kept_by);
    object.facts.charged_to.as_deref().is_some_and(below)
        || holders.any(
            |holder| matches!(holder, Holder::Process(p) if p.cgroup.as_deref().is_some_and(below)),
        )
}
