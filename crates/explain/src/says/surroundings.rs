//! Mappings and memory, the heap profile, growth.

use super::{Context, Line};
use crate::evidence::{GrowthSource, Memory, ProfiledStack};
use crate::group::Group;
use model::units::{bytes, count, counted, duration};
use model::{EvidenceKind, Leak, Verdict};

/// Stacks of the heap profile that are told.
const STACKS: usize = 3;

pub(super) fn say<'e>(
    context: &Context<'e>,
    group: &Group<'e>,
    largest: bool,
    lines: &mut Vec<Line>,
) {
    if let Some(says) = mappings(context, group) {
        lines.push((EvidenceKind::MemoryMap, says));
    }
    if largest {
        if let Some(memory) = &context.evidence.memory {
            lines.push((EvidenceKind::MemoryMap, anonymous(memory)));
        }
        let doubts = context.evidence.profile_says.iter();
        lines.extend(doubts.map(|says| {
            let says = format!("heap profile: {says}");
            (EvidenceKind::HeapProfile, says)
        }));
        let owned = group.owners().next().is_some();
        let stacks = context
            .evidence
            .profile
            .iter()
            .filter(|_| owned)
            .take(STACKS);
        lines.extend(
            stacks
                .filter_map(profiled)
                .map(|says| (EvidenceKind::HeapProfile, says)),
        );
    }
    if let Some(says) = growth(context, group) {
        lines.push((EvidenceKind::Growth, says));
    }
}

fn mappings(context: &Context<'_>, group: &Group<'_>) -> Option<String> {
    if group.verdict != Verdict::Mapped {
        return None;
    }
    let files = counted(group.count(), "file is", "files are");
    let what = format!("no descriptor is left; {files} mapped");
    Some(match &context.evidence.memory {
        Some(memory) => format!(
            "{what}; the process has {} of BPF maps, {} in all",
            counted(memory.mappings, "mapping", "mappings"),
            bytes(memory.mapped_bytes)
        ),
        None => what,
    })
}

fn anonymous(memory: &Memory) -> String {
    let now = bytes(memory.anonymous_bytes);
    let grown = memory.anonymous_growth.map(|growth| {
        let time = duration(memory.seconds);
        match growth {
            0 => format!(", the same for {time}"),
            less @ ..0 => format!(", -{} in {time}", bytes(less.unsigned_abs())),
            more => format!(", +{} in {time}", bytes(more.unsigned_abs())),
        }
    });
    format!(
        "anonymous memory {now}{}: what objects take is the kernel's, and not in it",
        grown.unwrap_or_default()
    )
}

fn profiled(stack: &ProfiledStack) -> Option<String> {
    let frame = stack.site.frames.first()?;
    let mut place = frame.function.clone();
    if let Some(file) = &frame.file {
        place = format!("{place} {file}");
        if let Some(line) = frame.line {
            place = format!("{place}:{line}");
        }
    }
    Some(format!(
        "heap profile: {} in use, {}, allocated in {place}",
        counted(stack.objects, "object", "objects"),
        bytes(stack.bytes)
    ))
}

fn growth<'e>(context: &Context<'e>, group: &Group<'e>) -> Option<String> {
    let growth = context.growth(group)?;
    let source = match growth.source {
        GrowthSource::Looks { looks, seconds } => format!(
            "in {} over {}",
            counted(u64::from(looks), "look", "looks"),
            duration(seconds)
        ),
        GrowthSource::Recording { seconds } => format!("in a recording of {}", duration(seconds)),
    };
    let rate = growth.per_second;
    let rate = if rate.is_finite() { rate } else { 0.0 };
    let (leak, found) = (group.leak(context.evidence, growth), growth.leak);
    if leak == Leak::Unknown && found >= Leak::Suspected {
        let but = match group.verdict {
            Verdict::Retained => "few of these outlived a collection",
            // The collector's part in it is not over.
            Verdict::NotJudged | Verdict::SweepPending | Verdict::ReleaseQueued
                if matches!(growth.source, GrowthSource::Looks { .. }) =>
            {
                "a collection may yet release these"
            }
            _ => "these are few of them",
        };
        return Some(format!(
            "all such handles together {rate:+.1}/s {source}; whether they leak is not known, as {but}"
        ));
    }
    let mut says = match growth.leak {
        Leak::Yes | Leak::Suspected => format!("{rate:+.1}/s {source}"),
        Leak::No => format!("does not grow {source}"),
        Leak::Unknown => format!("looked at too shortly to say whether it grows: {source}"),
    };
    if matches!(growth.leak, Leak::Yes | Leak::Suspected) {
        for limit in growth.exhausts.iter().take(1) {
            says = format!(
                "{says}; {} {} in {}",
                limit.limit,
                count(limit.value),
                duration(limit.in_seconds as f64)
            );
        }
    }
    if let Some(program) = growth.program {
        let leak = match program.leak {
            Leak::Yes => "leak",
            _ => "suspected leak",
        };
        says = format!(
            "{says}; its program does, which has ever more processes that hold some: {leak}, {:+.1}/s, {}",
            program.per_second,
            counted(program.processes, "process", "processes")
        );
    }
    Some(says)
}
