//! Of what there is more: groups of objects, and references to one object.

use super::pairs::Pair;
use super::site::{Site, Sites, that_count};
use super::{Likeness, Reports, likeness};
use model::{By, Growth, GrowthOf, Holder, Object, ObjectId, Process};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Ids that are listed of one group.
const IDS: usize = 16;

/// All sites that have more than before, the largest growth first.
pub(super) fn growth(reports: &Reports<'_>, pairs: &[Pair]) -> Vec<Growth> {
    let sites = Sites::of(reports);
    let mut growth = of_objects(reports, pairs, &sites);
    if reports.same_boot {
        growth.extend(of_references(reports, pairs, &sites));
    }
    let words = |g: &Growth| (g.kind, g.name.clone(), g.type_name.clone(), g.object);
    growth.sort_by_cached_key(|g| (Reverse(g.after - g.before), words(g), g.before));
    growth
}

/// What is counted of one group.
#[derive(Default)]
struct Group<'a> {
    before: u64,
    after: u64,
    holder: Option<&'a Holder>,
    holders: HashSet<HolderKey<'a>>,
    ids: Vec<u32>,
}

/// What tells the holders of one site apart, where it can have several.
#[derive(PartialEq, Eq, Hash)]
enum HolderKey<'a> {
    Process(u32, Option<u32>),
    Pin(&'a str, Option<u64>),
    Other,
}

impl<'a> HolderKey<'a> {
    fn of(holder: &'a Holder) -> Self {
        match holder {
            Holder::Process(p) => Self::Process(p.pid, p.tid),
            Holder::Pin(p) => Self::Pin(&p.path, p.mount_namespace),
            _ => Self::Other,
        }
    }
}

fn of_objects<'a>(reports: &Reports<'a>, pairs: &[Pair], sites: &Sites<'a>) -> Vec<Growth> {
    let mut groups: HashMap<(Site<'a>, Likeness<'a>), Group<'a>> = HashMap::new();
    for pair in pairs {
        let (old, new) = that_count(reports, pair);
        if let Some(old) = old {
            for (site, _) in sites.keepers(old) {
                groups.entry((site, likeness(old))).or_default().before += 1;
            }
        }
        let Some(new) = new else { continue };
        for (site, holder) in sites.keepers(new) {
            let group = groups.entry((site, likeness(new))).or_default();
            group.after += 1;
            group.holder = group.holder.or(holder);
            if old.is_none() && group.ids.len() < IDS {
                group.ids.extend(new.facts.id);
            }
        }
        for holder in &new.kept_by {
            if let Some(group) = groups.get_mut(&(sites.site(holder), likeness(new))) {
                group.holders.insert(HolderKey::of(holder));
            }
        }
    }
    let grown = groups.into_iter().filter(|(_, g)| g.after > g.before);
    grown
        .map(|((site, (kind, name, type_name, tag)), group)| Growth {
            of: GrowthOf::Objects,
            kind,
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            tag: tag.map(str::to_owned),
            object: None,
            by: None,
            holder: group.holder.map(without_fds),
            holders: group.holders.len() as u64,
            pattern: sites.pattern(site),
            before: group.before,
            after: group.after,
            ids: group.ids,
        })
        .collect()
}

/// Who holds references to one object, as itself: here ids mean something.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Direct<'a> {
    Site(Site<'a>),
    Object(ObjectId),
}

type Held<'a> = HashMap<(By, Direct<'a>), (u64, &'a Holder, u64)>;

/// Units of the count that each holder has a share in. Processes that only one report has
/// cannot be compared.
fn held<'a>(object: &'a Object, sites: &Sites<'a>) -> Held<'a> {
    let mut held = Held::new();
    for reference in &object.facts.references {
        // A site with several of the holders has the reference once.
        let mut once = HashSet::new();
        for holder in &reference.holders {
            let direct = match (sites.site(holder), holder.object()) {
                (Site::Program(..) | Site::IoUrings | Site::Sockets(_), _) => continue,
                (_, Some((kind, o))) => match o.id {
                    Some(id) => Direct::Object(ObjectId { kind, id }),
                    None => continue,
                },
                (site, None) => Direct::Site(site),
            };
            let first = once.insert(direct);
            let held = held.entry((reference.by, direct)).or_insert((0, holder, 0));
            held.2 += 1;
            if first {
                held.0 = held.0.saturating_add(reference.count);
            }
        }
    }
    held
}

fn of_references<'a>(reports: &Reports<'a>, pairs: &[Pair], sites: &Sites<'a>) -> Vec<Growth> {
    let mut growth = Vec::new();
    for pair in pairs {
        let (Some(old), Some(new)) = that_count(reports, pair) else {
            continue;
        };
        if old.facts.references == new.facts.references {
            continue;
        }
        let before = held(old, sites);
        // Whoever did not keep it before keeps one object more now: that is said already.
        let kept: HashSet<Site<'_>> = sites.keepers(old).into_iter().map(|(s, _)| s).collect();
        for (key, (after, holder, holders)) in held(new, sites) {
            let had = before.get(&key).map_or(0, |held| held.0);
            let new_here = matches!(&key.1, Direct::Site(site) if !kept.contains(site));
            if after <= had || had == 0 && new_here {
                continue;
            }
            let pattern = match &key.1 {
                Direct::Site(site) => sites.pattern(*site),
                Direct::Object(_) => None,
            };
            let (kind, name, type_name, tag) = likeness(new);
            growth.push(Growth {
                of: GrowthOf::References,
                kind,
                name: name.to_owned(),
                type_name: type_name.to_owned(),
                tag: tag.map(str::to_owned),
                object: new.facts.object_id(),
                by: Some(key.0),
                holder: Some(without_fds(holder)),
                holders: if pattern.is_some() { holders } else { 1 },
                pattern,
                before: had,
                after,
                ids: vec![],
            });
        }
    }
    growth
}

/// Descriptors of one object say nothing of a group.
fn without_fds(holder: &Holder) -> Holder {
    match holder {
        Holder::Process(process) => Holder::Process(Box::new(Process {
            fds: vec![],
            ..Process::clone(process)
        })),
        other => other.clone(),
    }
}
