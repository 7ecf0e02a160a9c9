//! Objects that both reports have and that are not the same: alike changes share lines.

use super::LINES;
use crate::Grouping;
use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::text::cut_middle;
use crate::{units, words};
use model::{Before, By, Change, Holder, Kind, Reference, State, fold_paths};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Objects in which nothing but their content changed, that are shown one by one.
const CONTENT: usize = 8;

/// References that came or went: sign, how, whose.
type Step = (&'static str, By, String);

/// What makes changes alike.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    kind: Kind,
    /// One by one: the object itself.
    at: Option<usize>,
    name: &'a str,
    type_name: &'a str,
    states: (State, State),
    attached: (Option<bool>, Option<bool>),
    detached: (Option<bool>, Option<bool>),
    settled: (bool, bool),
    /// Which of the numbers changed.
    numbers: [bool; 4],
    steps: Vec<Step>,
}

/// A number before and after, summed over alike changes; `None` if one was not read.
#[derive(Clone, Copy)]
struct Pair(Option<i128>, Option<i128>);

/// Alike changes.
struct Group<'a> {
    like: &'a Likeness<'a>,
    first: &'a Change,
    objects: u64,
    numbers: [Pair; 4],
    steps: Vec<u64>,
}

impl Group<'_> {
    /// Nothing but what is in it.
    fn is_content(&self) -> bool {
        let [refs, unexplained, _, _] = self.like.numbers;
        let l = self.like;
        !refs
            && !unexplained
            && l.states.0 == l.states.1
            && l.attached.0 == l.attached.1
            && l.detached.0 == l.detached.1
            && l.settled.0 == l.settled.1
            && l.steps.is_empty()
    }
}

pub(super) fn write<W: Write>(
    screen: &mut Screen<'_, W>,
    changes: &[Change],
    grouping: Grouping,
) -> io::Result<()> {
    let patterns = patterns(changes);
    let one_by_one = grouping == Grouping::Never;
    let likes: Vec<_> = changes
        .iter()
        .enumerate()
        .map(|(at, change)| likeness(change, one_by_one.then_some(at), &patterns))
        .collect();
    let mut groups = group(changes, &likes);
    groups.sort_by_key(|g| (g.is_content(), g.like.kind, g.first.object.facts.id));
    let content = groups.partition_point(|g| !g.is_content());
    let (news, content) = groups.split_at(content);
    let shown = if one_by_one { usize::MAX } else { CONTENT };
    for group in news.iter().take(LINES.max(shown)) {
        line(screen, group)?;
    }
    let more = news.len().saturating_sub(LINES.max(shown)) as u64;
    if more > 0 {
        screen.line(&[plain(format!("… and {} more (--json)", units::count(more)))])?;
    }
    for group in content.iter().take(shown) {
        line(screen, group)?;
    }
    let rest = content.iter().skip(shown).map(|g| g.objects);
    let rest = rest.fold(0, u64::saturating_add);
    if rest > 0 {
        let text = format!(
            "… and entries or memory alone in {} (--no-group lists them)",
            units::counted(rest, "more object", "more objects")
        );
        screen.line(&[(text, Paint::Dim)])?;
    }
    Ok(())
}

fn line<W: Write>(screen: &mut Screen<'_, W>, group: &Group<'_>) -> io::Result<()> {
    let facts = &group.first.object.facts;
    let object = if group.objects == 1 {
        words::id(facts.kind, facts.id)
    } else {
        let (one, many) = words::nouns(facts.kind);
        units::counted(group.objects, one, many)
    };
    let room = screen.width() / 2;
    let mut head = object;
    if !facts.name.is_empty() {
        head.push(' ');
        head.push_str(&cut_middle(&safe(&facts.name), room));
    }
    head.push_str(": ");
    let mut news: Vec<Span> = vec![];
    let (old, new) = group.like.states;
    if old != new {
        news.push((format!("{old} → {new}"), crate::list::state_paint(new)));
    }
    let flag = |pair: (Option<bool>, Option<bool>), yes: &str, no: &str| {
        (pair.0 != pair.1).then(|| plain(if pair.1 == Some(true) { yes } else { no }))
    };
    news.extend(flag(
        group.like.attached,
        "attached",
        "not attached any more",
    ));
    news.extend(flag(group.like.detached, "detached", "attached again"));
    if group.like.settled.0 != group.like.settled.1 {
        let settled = group.like.settled.1;
        news.push(plain(if settled { "settled" } else { "still moving" }));
    }
    for (at, word) in ["refs", "unexplained", "memory", "entries"]
        .into_iter()
        .enumerate()
    {
        if group.like.numbers[at] {
            let Pair(old, new) = group.numbers[at];
            let text = |n: Option<i128>| match (n, word) {
                (None, _) => "?".into(),
                (Some(n), "memory") => units::bytes(u64::try_from(n).unwrap_or(0)),
                (Some(n), _) => number(n),
            };
            let paint = if word == "unexplained" {
                Paint::Red
            } else {
                Paint::Plain
            };
            news.push((format!("{word} {} → {}", text(old), text(new)), paint));
        }
    }
    for ((sign, by, holder), count) in group.like.steps.iter().zip(&group.steps) {
        let by = words::by(*by);
        // `pin /x` says how it is held.
        let how = if holder.starts_with(by) {
            String::new()
        } else {
            format!("{by} ")
        };
        news.push(plain(format!(
            "{sign}{} {how}{holder}",
            units::count(*count)
        )));
    }
    screen.phrases(&[(head, Paint::Bold)], "    ", ", ", &news)
}

fn number(n: i128) -> String {
    let clamped = n.clamp(i64::MIN.into(), i64::MAX.into());
    units::signed(i64::try_from(clamped).unwrap_or(i64::MAX))
}

fn group<'a>(changes: &'a [Change], likes: &'a [(Likeness<'a>, Vec<u64>)]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'_>> = vec![];
    let mut index: HashMap<&Likeness<'_>, usize> = HashMap::new();
    for (change, (like, counts)) in changes.iter().zip(likes) {
        let at = *index.entry(like).or_insert(groups.len());
        let Some(group) = groups.get_mut(at) else {
            groups.push(Group {
                like,
                first: change,
                objects: 1,
                numbers: numbers(change),
                steps: counts.clone(),
            });
            continue;
        };
        group.objects += 1;
        for (sum, more) in group.numbers.iter_mut().zip(numbers(change)) {
            let add = |a: Option<i128>, b: Option<i128>| Some(a?.saturating_add(b?));
            *sum = Pair(add(sum.0, more.0), add(sum.1, more.1));
        }
        for (sum, more) in group.steps.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*more);
        }
    }
    groups
}

fn numbers(change: &Change) -> [Pair; 4] {
    let (old, new) = (&change.before, &change.object);
    let wide = |n: Option<u64>| n.map(i128::from);
    [
        Pair(wide(old.refcnt), wide(new.facts.refcnt)),
        Pair(
            old.unexplained.map(i128::from),
            new.unexplained.map(i128::from),
        ),
        Pair(wide(old.memory_bytes), wide(new.facts.memory_bytes)),
        Pair(wide(old.entries), wide(new.facts.entries)),
    ]
}

fn likeness<'a>(
    change: &'a Change,
    at: Option<usize>,
    patterns: &HashMap<&str, String>,
) -> (Likeness<'a>, Vec<u64>) {
    let object = &change.object;
    let Before {
        state,
        settled,
        attached,
        detached,
        ..
    } = change.before;
    let now = match &object.facts.detail {
        model::Detail::Prog(prog) => (Some(prog.attached), None),
        model::Detail::Link(link) => (None, Some(link.detached)),
        _ => (None, None),
    };
    let mut sums: Vec<(Step, u64)> = vec![];
    for (sign, references) in [("+", &change.came), ("−", &change.went)] {
        for reference in references {
            let step = (sign, reference.by, holders(reference, patterns));
            match sums.iter_mut().find(|(known, _)| *known == step) {
                Some((_, sum)) => *sum = sum.saturating_add(reference.count),
                None => sums.push((step, reference.count)),
            }
        }
    }
    let (steps, counts) = sums.into_iter().unzip();
    let like = Likeness {
        kind: object.facts.kind,
        at,
        name: &object.facts.name,
        type_name: &object.facts.type_name,
        states: (state, object.state),
        attached: (attached, now.0),
        detached: (detached, now.1),
        settled: (settled, object.settled),
        numbers: numbers(change).map(|Pair(old, new)| old != new),
        steps,
    };
    (like, counts)
}

/// `agent[4242] fds 7-9`, `pin /sys/fs/bpf/x`, `agent[1], agent[2], +3`.
fn holders(reference: &Reference, patterns: &HashMap<&str, String>) -> String {
    const NAMED: usize = 2;
    let words = |holder: &Holder| match holder {
        Holder::Process(p) => words::process_short(p),
        Holder::Pin(pin) => match patterns.get(&*pin.path) {
            Some(pattern) => format!("pin {}", safe(pattern)),
            None => words::pin_brief(pin),
        },
        other => match other.object() {
            Some((kind, object)) => words::object(kind, object),
            None => words::kernel_holder(other),
        },
    };
    if reference.holders.is_empty() {
        return "nobody known".into();
    }
    let shown: Vec<String> = reference.holders.iter().take(NAMED).map(words).collect();
    let mut text = shown.join(" and ");
    if reference.holders.len() > NAMED {
        let more = units::count((reference.holders.len() - NAMED) as u64);
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Paths of pins that came or went, folded.
fn patterns(changes: &[Change]) -> HashMap<&str, String> {
    let references = changes.iter().flat_map(|c| c.came.iter().chain(&c.went));
    let mut paths: Vec<&str> = references
        .flat_map(|r| &r.holders)
        .filter_map(|holder| match holder {
            Holder::Pin(pin) => Some(&*pin.path),
            _ => None,
        })
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let folded = fold_paths(&paths);
    let both = paths.into_iter().zip(folded);
    both.filter(|(path, pattern)| path != pattern).collect()
}
