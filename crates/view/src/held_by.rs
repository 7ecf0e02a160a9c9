//! Who holds an object, or many alike, in as much room as a table cell has.

use crate::text::{cut_end, cut_middle, cut_path, width};
use crate::{units, words};
use model::{By, Holder, Kind, Object, Pin, Process, fold_paths};
use std::collections::{BTreeMap, HashMap};

/// More holders of one sort than this become one item with their number.
const ONE_BY_ONE: usize = 3;
/// Items that are worth making: a cell has no room for more.
const MOST_ITEMS: usize = 12;

/// What one holder holds.
#[derive(Debug, Default, Clone, Copy)]
struct Grip {
    units: u64,
    /// Descriptors; for one, its number.
    fds: u64,
    fd: u32,
    mappings: u64,
    iterators: u64,
}

/// Holders by identity, with what they hold of all objects together.
#[derive(Default)]
struct Tally<'a> {
    processes: HashMap<(u32, Option<u32>), (&'a Process, Grip)>,
    pins: HashMap<&'a Pin, u64>,
    objects: HashMap<(Kind, Option<u32>, &'a str), u64>,
    /// What stands in the kernel, by sort and in short.
    kernel: BTreeMap<(&'static str, String), (&'static str, u64)>,
}

/// A holder, or several of a sort, in words.
struct Item {
    units: u64,
    words: Words,
}

/// In words, and in fewer where there is little room.
struct Words {
    full: String,
    brief: String,
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self {
            brief: text.clone(),
            full: text,
        }
    }
}

impl<'a> Tally<'a> {
    fn add(&mut self, by: Option<By>, count: u64, holder: &'a Holder) {
        let units = match holder {
            Holder::Process(process) => {
                let grip = &mut self
                    .processes
                    .entry((process.pid, process.tid))
                    .or_insert((process, Grip::default()))
                    .1;
                match by {
                    Some(By::Mmap) => grip.mappings = grip.mappings.saturating_add(count),
                    Some(By::Iterator) => {
                        grip.iterators = grip.iterators.saturating_add(count);
                    }
                    Some(_) => {
                        grip.fds += process.fds.len() as u64;
                        grip.fd = process.fds.first().copied().unwrap_or(grip.fd);
                    }
                    None => {}
                }
                &mut grip.units
            }
            Holder::Pin(pin) => self.pins.entry(pin).or_default(),
            Holder::Map(_) | Holder::Prog(_) | Holder::Link(_) | Holder::Btf(_) => {
                let Some((kind, object)) = holder.object() else {
                    return;
                };
                self.objects
                    .entry((kind, object.id, &object.name))
                    .or_default()
            }
            Holder::Attachment(_)
            | Holder::Socket(_)
            | Holder::IoUring(_)
            | Holder::Module { .. }
            | Holder::Kernel { .. } => {
                let (one, many) = words::sort_nouns(holder);
                let place = self.kernel.entry((one, words::kernel_short(holder)));
                &mut place.or_insert((many, 0)).1
            }
        };
        *units = units.saturating_add(count);
    }

    /// Largest first; among equals processes, then pins, then objects by id, then
    /// what stands in the kernel.
    fn items(self) -> Vec<Item> {
        let mut items = vec![];
        let mut by_comm: BTreeMap<&str, Vec<(&Process, Grip)>> = BTreeMap::new();
        for (process, grip) in self.processes.into_values() {
            by_comm
                .entry(&process.comm)
                .or_default()
                .push((process, grip));
        }
        for (comm, mut processes) in by_comm {
            processes.sort_unstable_by_key(|(p, _)| (p.pid, p.tid));
            if processes.len() > ONE_BY_ONE {
                items.push(many_processes(comm, &processes));
            } else {
                items.extend(processes.iter().map(|(p, grip)| Item {
                    units: grip.units,
                    words: format!("{}{}", words::process_short(p), grip_words(grip)).into(),
                }));
            }
        }
        items.extend(pin_items(self.pins));
        items.extend(object_items(self.objects));
        items.extend(kernel_items(self.kernel));
        items.sort_by_key(|item| std::cmp::Reverse(item.units));
        items
    }
}

fn grip_words(grip: &Grip) -> String {
    let mut text = String::new();
    if grip.fds == 1 {
        text = format!(" fd {}", grip.fd);
    } else if grip.fds > 1 {
        text = format!(" {} fds", units::count(grip.fds));
    }
    for (number, one, many) in [
        (grip.mappings, "mmap", "mmaps"),
        (grip.iterators, "iterator", "iterators"),
    ] {
        if number > 0 {
            let gap = if text.is_empty() { " " } else { " + " };
            text.push_str(gap);
            text.push_str(&units::counted(number, one, many));
        }
    }
    text
}

fn many_processes(comm: &str, processes: &[(&Process, Grip)]) -> Item {
    let mut sum = Grip::default();
    for (_, grip) in processes {
        sum.units = sum.units.saturating_add(grip.units);
        sum.fds += grip.fds;
        sum.fd = grip.fd;
        sum.mappings = sum.mappings.saturating_add(grip.mappings);
        sum.iterators = sum.iterators.saturating_add(grip.iterators);
    }
    Item {
        units: sum.units,
        words: format!(
            "{} × {}{}",
            units::count(processes.len() as u64),
            words::comm(comm),
            grip_words(&sum)
        )
        .into(),
    }
}

fn pin_items(pins: HashMap<&Pin, u64>) -> Vec<Item> {
    let mut pins: Vec<(&Pin, u64)> = pins.into_iter().collect();
    pins.sort_unstable();
    if pins.len() <= ONE_BY_ONE {
        let item = |(pin, units): (&Pin, u64)| Item {
            units,
            words: Words {
                full: words::pin_short(pin),
                brief: words::pin_brief(pin),
            },
        };
        return pins.into_iter().map(item).collect();
    }
    let paths: Vec<&str> = pins.iter().map(|(pin, _)| &*pin.path).collect();
    let mut patterns: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (pattern, (_, units)) in fold_paths(&paths).into_iter().zip(&pins) {
        let sum = patterns.entry(pattern).or_default();
        sum.0 += 1;
        sum.1 = sum.1.saturating_add(*units);
    }
    if patterns.len() > ONE_BY_ONE {
        return vec![Item {
            units: pins.iter().fold(0, |sum, pin| sum.saturating_add(pin.1)),
            words: units::counted(pins.len() as u64, "pin", "pins").into(),
        }];
    }
    // Where none of them is among our own mounts, the path leads nowhere here.
    let elsewhere = pins.iter().all(|(pin, _)| pin.enter_pid.is_some());
    let note = if elsewhere { " (other mounts)" } else { "" };
    let item = |(pattern, (pins, units)): (String, (u64, u64))| {
        let number = if pins == 1 {
            "pin".into()
        } else {
            units::counted(pins, "pin", "pins")
        };
        let brief = format!("{number} {}", crate::screen::safe(&pattern));
        Item {
            units,
            words: Words {
                full: format!("{brief}{note}"),
                brief,
            },
        }
    };
    patterns.into_iter().map(item).collect()
}

fn object_items(objects: HashMap<(Kind, Option<u32>, &str), u64>) -> Vec<Item> {
    let mut objects: Vec<_> = objects.into_iter().collect();
    objects.sort_unstable();
    let mut items = vec![];
    for same_kind in objects.chunk_by(|a, b| a.0.0 == b.0.0) {
        let kind = same_kind[0].0.0;
        if same_kind.len() > ONE_BY_ONE {
            let (one, many) = words::nouns(kind);
            items.push(Item {
                units: same_kind
                    .iter()
                    .fold(0, |sum, object| sum.saturating_add(object.1)),
                words: units::counted(same_kind.len() as u64, one, many).into(),
            });
        } else {
            items.extend(same_kind.iter().map(|((kind, id, _), units)| Item {
                units: *units,
                words: words::id(*kind, *id).into(),
            }));
        }
    }
    items
}

fn kernel_items(kernel: BTreeMap<(&'static str, String), (&'static str, u64)>) -> Vec<Item> {
    let kernel: Vec<_> = kernel.into_iter().collect();
    let mut items = vec![];
    for same_sort in kernel.chunk_by(|a, b| a.0.0 == b.0.0) {
        let ((one, _), (many, _)) = &same_sort[0];
        if same_sort.len() > ONE_BY_ONE {
            let units = same_sort.iter().map(|(_, (_, units))| *units);
            items.push(Item {
                units: units.fold(0, u64::saturating_add),
                words: units::counted(same_sort.len() as u64, one, many).into(),
            });
        } else {
            items.extend(same_sort.iter().map(|((_, short), (_, units))| Item {
                units: *units,
                words: short.clone().into(),
            }));
        }
    }
    items
}

/// Who holds these objects: the direct holders, largest first, and, where these
/// are all objects or what processes have open, what is at the end of the chains.
pub struct HeldBy {
    direct: Vec<Words>,
    ends: Vec<Words>,
}

impl HeldBy {
    pub fn of(objects: &[&Object]) -> Self {
        let mut tally = Tally::default();
        let mut no_ends = true;
        for reference in objects.iter().flat_map(|o| &o.facts.references) {
            for holder in &reference.holders {
                no_ends &= holder.object().is_some() || !holder.open_by().is_empty();
                tally.add(Some(reference.by), reference.count, holder);
            }
        }
        let mut ends = Tally::default();
        if no_ends {
            for end in objects.iter().flat_map(|o| &o.kept_by) {
                if end.object().is_none() {
                    ends.add(None, 1, end);
                }
            }
        }
        let texts = |tally: Tally<'_>| tally.items().into_iter().map(|item| item.words).collect();
        Self {
            direct: texts(tally),
            ends: texts(ends),
        }
    }

    /// All of it: what the cell would need to lose nothing.
    pub fn natural(&self) -> String {
        let take = |items: &[Words]| {
            let shown: Vec<&str> = items.iter().take(MOST_ITEMS).map(|w| &*w.full).collect();
            let rest = items.len() - shown.len();
            let more = if rest > 0 {
                format!(", +{rest}")
            } else {
                String::new()
            };
            shown.join(", ") + &more
        };
        match (self.direct.is_empty(), self.ends.is_empty()) {
            (_, true) => take(&self.direct),
            (true, false) => format!("← {}", take(&self.ends)),
            (false, false) => format!("{} ← {}", take(&self.direct), take(&self.ends)),
        }
    }

    /// At most `room` columns: as many holders as fit, then `+N`.
    pub fn fit(&self, room: usize) -> String {
        let all = self.natural();
        if width(&all) <= room {
            return all;
        }
        if self.ends.is_empty() {
            return fit(&self.direct, room);
        }
        // The end is what one wants to know; the way there may shrink to a number, or go.
        let way = fit(&self.direct, (room / 3).max(9));
        let left = room.saturating_sub(width(&way) + 3);
        if self.direct.is_empty() || left < LEAST_OF_AN_END {
            return format!("← {}", fit(&self.ends, room.saturating_sub(2)));
        }
        format!("{way} ← {}", fit(&self.ends, left))
    }
}

/// Of a pin or a cgroup the end of its path is kept; of a process its pid, and what it
/// holds where that leaves something of its name.
pub(crate) fn cut_item(item: &str, room: usize) -> String {
    if let Some(path) = item.strip_prefix("cgroup:/").filter(|_| room >= 12) {
        let word = "cgroup:";
        let path = &item[item.len() - path.len() - 1..];
        return word.to_owned() + &cut_path(path, room - width(word));
    }
    if let Some(at) = item.find(" /").filter(|at| at + 8 < room) {
        let (word, path) = item.split_at(at + 1);
        return word.to_owned() + &cut_path(path, room - width(word));
    }
    if let Some(at) = item.rfind('[') {
        let (comm, rest) = item.split_at(at);
        let pid = rest.find(']').map_or(rest, |end| &rest[..=end]);
        for rest in [rest, pid] {
            if width(rest) + 4 <= room {
                return cut_end(comm, room - width(rest)).into_owned() + rest;
            }
        }
    }
    cut_middle(item, room).into_owned()
}

/// The cut item must keep enough to be recognised.
const LEAST_OF_AN_ITEM: usize = 14;
/// With less room than this the end of the chains takes that of the way there too.
const LEAST_OF_AN_END: usize = 7;
/// With less room than this not even a part of a name is worth showing.
const LEAST: usize = 4;

fn fit(items: &[Words], room: usize) -> String {
    let mut text = String::new();
    for (at, item) in items.iter().map(|words| &words.brief).enumerate() {
        let left = items.len() - at - 1;
        let more = if left > 0 {
            format!(", +{left}")
        } else {
            String::new()
        };
        let gap = if at == 0 { "" } else { ", " };
        let used = width(&text) + gap.len();
        if used + width(item) + more.len() <= room {
            text.push_str(gap);
            text.push_str(item);
            continue;
        }
        let for_this = room.saturating_sub(used + more.len());
        if at > 0 && for_this < LEAST_OF_AN_ITEM {
            return format!("{text}, +{}", left + 1);
        }
        if left > 0 && for_this < LEAST {
            return format!("+{}", left + 1);
        }
        return format!("{text}{gap}{}{more}", cut_item(item, for_this));
    }
    text
}
