//! Groups that look alike from outside and have another fate each. Together they are one class, whose handles `explain` tells
//! apart by their verdicts: the books tell how many, and which, may be called what.

use super::truth::{Against, Class};
use crate::books::Said;
use std::collections::BTreeSet;

/// Handles that were given one verdict.
pub struct Called<'a> {
    pub verdict: &'a str,
    pub count: u64,
    /// Some of their objects.
    pub ids: Vec<u64>,
    /// The verdict is none, or one that any handle may have for a while.
    pub any: bool,
}

/// A class of more groups is not looked at so.
const GROUPS: usize = 8;

/// Holds verdicts of a class against the books of its groups, if all handles that there were are told of.
pub fn check(class: &Class<'_>, called: &[Called<'_>], books: &[Said], against: &mut Against) {
    let groups: Vec<usize> = (0..class.groups.len())
        .filter(|&at| !class.groups[at].verdicts.is_empty())
        .collect();
    if groups.len() < 2 || groups.len() > GROUPS {
        return;
    }
    ids(class, called, books, against);
    let all: u64 = called.iter().map(|one| one.count).sum();
    let [least_of_all, _] = sizes(class, &groups, books);
    for subset in 1..1u32 << groups.len() {
        let some: Vec<usize> = (0..groups.len())
            .filter(|at| subset & (1 << at) != 0)
            .map(|at| groups[at])
            .collect();
        let fits =
            |verdict: &str, at: usize| class.groups[at].verdicts.iter().any(|v| v == verdict);
        let of = |one: &Called<'_>, wanted: &dyn Fn(&Called<'_>) -> bool| {
            wanted(one).then_some(one.count)
        };
        // What only these can be, and what may be one of these.
        let only = |one: &Called<'_>| {
            let mut fitting = groups
                .iter()
                .filter(|&&at| fits(one.verdict, at))
                .peekable();
            !one.any && fitting.peek().is_some() && fitting.all(|at| some.contains(at))
        };
        let maybe = |one: &Called<'_>| one.any || some.iter().any(|&at| fits(one.verdict, at));
        let [only, maybe]: [u64; 2] = [&only as &dyn Fn(&Called<'_>) -> bool, &maybe]
            .map(|wanted| called.iter().filter_map(|one| of(one, wanted)).sum());
        let [least, most] = sizes(class, &some, books);
        let names: Vec<&str> = some
            .iter()
            .map(|&at| class.groups[at].name.as_str())
            .collect();
        let (class, names) = (class.name(), names.join(" and "));
        if only > most {
            against.wrong.push(format!(
                "{class}: {only} have verdicts that only {names} can have, of which there are {most} at most"
            ));
        }
        if all >= least_of_all && maybe < least {
            against.wrong.push(format!(
                "{class}: {maybe} have verdicts that {names} can have, of which there are {least} at least"
            ));
        }
    }
}

/// An object that is listed with a verdict is one of a group that can have it.
fn ids(class: &Class<'_>, called: &[Called<'_>], books: &[Said], against: &mut Against) {
    for one in called.iter().filter(|one| !one.any) {
        let fitting = class
            .groups
            .iter()
            .filter(|group| group.verdicts.iter().any(|v| v == one.verdict));
        let names: Vec<&str> = fitting.map(|group| group.name.as_str()).collect();
        // That is wrong by itself.
        if names.is_empty() {
            continue;
        }
        let of = books
            .iter()
            .flat_map(|said| names.iter().map(|name| said.book(name)));
        let those: BTreeSet<u64> = of
            .flat_map(|book| book.held.into_iter().chain(book.dropped))
            .map(u64::from)
            .collect();
        if let Some(id) = one.ids.iter().find(|id| !those.contains(id)) {
            against.wrong.push(format!(
                "{}: {id} is {}, and none of {}",
                class.name(),
                one.verdict,
                names.join(" and ")
            ));
        }
    }
}

/// Handles that there were of some of its groups: at least and at most, at any time in these books.
pub fn sizes(class: &Class<'_>, groups: &[usize], books: &[Said]) -> [u64; 2] {
    let counts = books.iter().map(|said| {
        let of = groups.iter().map(|&at| said.book(&class.groups[at].name));
        of.fold([0, 0], |[held, all], book| {
            let [more, dropped] = [book.held.len() as u64, book.dropped.len() as u64];
            [held + more, all + more + dropped]
        })
    });
    let [least, most] = counts.fold([u64::MAX, 0], |[least, most], [held, all]| {
        [least.min(held), most.max(all)]
    });
    [least.min(most), most]
}
