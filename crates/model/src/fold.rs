//! Names and paths that differ in one place, folded: `flow_*`, `/sys/fs/bpf/pods/*/events`.
//!
//! Nothing is known of what a path's component means: what varies is found by
//! comparing. A place is folded where at least [`ALIKE`] paths differ only
//! there; what the differing parts have in common up to a separator stays
//! (`*_ingress_map`).

use std::borrow::Cow;
use std::collections::HashMap;

/// A name with `*` for each run of digits: what differs in digits only is one.
///
/// ```
/// assert_eq!(model::fold_digits("flow_17_v4"), "flow_*_v*");
/// assert_eq!(model::fold_digits("events"), "events");
/// ```
pub fn fold_digits(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|b| b.is_ascii_digit()) {
        return Cow::Borrowed(name);
    }
    let mut folded = String::with_capacity(name.len());
    for c in name.chars() {
        if !c.is_ascii_digit() {
            folded.push(c);
        } else if !folded.ends_with('*') {
            folded.push('*');
        }
    }
    Cow::Owned(folded)
}

/// Two may be a coincidence.
const ALIKE: usize = 3;
/// Places that may vary in one path.
const ROUNDS: usize = 3;
/// A path with more components is left as it is.
const DEEPEST: usize = 24;

type Path<'a> = Vec<Cow<'a, str>>;

/// The folded form of each path, in the order given.
///
/// ```
/// let pods = ["/b/pods/0a1/events", "/b/pods/77f/events", "/b/pods/c3d/events"];
/// assert_eq!(model::fold_paths(&pods), ["/b/pods/*/events"; 3]);
/// ```
pub fn fold_paths(paths: &[&str]) -> Vec<String> {
    let split = paths
        .iter()
        .map(|path| path.split('/').map(Cow::Borrowed).collect());
    let (mut distinct, mut which) = dedup(split.collect());
    for _ in 0..ROUNDS {
        if distinct.len() < ALIKE {
            break;
        }
        let before = distinct.len();
        let (folded, merged) = dedup(fold_once(&distinct));
        for at in &mut which {
            *at = merged[*at];
        }
        distinct = folded;
        if distinct.len() == before {
            break;
        }
    }
    let text: Vec<String> = distinct.iter().map(|path| path.join("/")).collect();
    which.into_iter().map(|at| text[at].clone()).collect()
}

/// The distinct paths, and for each of the given ones which of them it is.
fn dedup(paths: Vec<Path<'_>>) -> (Vec<Path<'_>>, Vec<usize>) {
    let mut seen: HashMap<&Path<'_>, usize> = HashMap::new();
    let mut first = vec![];
    let mut which = Vec::with_capacity(paths.len());
    for path in &paths {
        let next = seen.len();
        let at = *seen.entry(path).or_insert(next);
        first.push(at == next);
        which.push(at);
    }
    let mut first = first.into_iter();
    let distinct = paths.into_iter().filter(|_| first.next() == Some(true));
    (distinct.collect(), which)
}

/// By number of components, the places where not all paths are the same: only
/// these can fold, and most paths begin alike.
fn varying(paths: &[Path<'_>]) -> HashMap<usize, Vec<usize>> {
    let mut places: HashMap<usize, (&Path<'_>, Vec<bool>)> = HashMap::new();
    for path in paths.iter().filter(|path| path.len() <= DEEPEST) {
        let (first, varies) = places
            .entry(path.len())
            .or_insert_with(|| (path, vec![false; path.len()]));
        for (at, varies) in varies.iter_mut().enumerate() {
            *varies |= path[at] != first[at];
        }
    }
    places
        .into_iter()
        .map(|(length, (_, varies))| (length, (0..length).filter(|&at| varies[at]).collect()))
        .collect()
}

/// A path without its component at a place, which is what alike ones share.
type Frame<'p, 'a> = (usize, &'p [Cow<'a, str>], &'p [Cow<'a, str>]);

/// Each path, folded in the one place where it is alike to most others, if it is.
fn fold_once<'a>(paths: &[Path<'a>]) -> Vec<Path<'a>> {
    let varying = varying(paths);
    let mut index: HashMap<Frame<'_, 'a>, usize> = HashMap::new();
    // Per frame, the components that stand in it.
    let mut parts: Vec<Vec<&str>> = vec![];
    // Per path, its places and their frames.
    let mut frames: Vec<Vec<(usize, usize)>> = vec![];
    for path in paths {
        let places = varying.get(&path.len()).map_or(&[][..], |v| &v[..]);
        let mut mine = Vec::with_capacity(places.len());
        for &at in places {
            let frame = (at, &path[..at], &path[at + 1..]);
            let id = *index.entry(frame).or_insert(parts.len());
            if id == parts.len() {
                parts.push(vec![]);
            }
            parts[id].push(&path[at]);
            mine.push((at, id));
        }
        frames.push(mine);
    }
    let mut patterns: HashMap<usize, String> = HashMap::new();
    let mut folded = Vec::with_capacity(paths.len());
    for (path, frames) in paths.iter().zip(frames) {
        let mut path = path.clone();
        let best = frames
            .into_iter()
            .max_by_key(|&(at, id)| (parts[id].len(), path.len() - at));
        if let Some((at, id)) = best.filter(|&(_, id)| parts[id].len() >= ALIKE) {
            let pattern = patterns.entry(id).or_insert_with(|| common(&parts[id]));
            path[at] = Cow::Owned(pattern.clone());
        }
        folded.push(path);
    }
    folded
}

/// `pod-1`, `pod-2` are `pod-*`: what they share at both ends, up to a separator.
fn common(parts: &[&str]) -> String {
    let separator = |c: char| "-_.:".contains(c);
    // The shortest, so that what is common at both ends does not overlap elsewhere.
    let Some(first) = parts.iter().min_by_key(|part| (part.len(), **part)) else {
        return "*".into();
    };
    let mut head = first.len();
    let mut tail = first.len();
    for part in parts {
        let same = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| {
            a.zip(b)
                .take_while(|(a, b)| a == b)
                .map(|(a, _)| a.len_utf8())
                .sum::<usize>()
        };
        head = head.min(same(&mut first.chars(), &mut part.chars()));
        tail = tail.min(same(&mut first.chars().rev(), &mut part.chars().rev()));
    }
    let head = first[..head].rfind(separator).map_or(0, |at| at + 1);
    let tail = first[first.len() - tail..]
        .find(separator)
        .map_or(first.len(), |at| first.len() - tail + at);
    if head >= tail {
        // One separator between two that vary: neither end has it alone.
        return format!("{}*", &first[..head]);
    }
    format!("{}*{}", &first[..head], &first[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_found_by_comparing() {
        let pods = [
            "/b/pods/0a1/events",
            "/b/pods/77f/events",
            "/b/pods/c3d/events",
        ];
        assert_eq!(fold_paths(&pods), ["/b/pods/*/events"; 3]);
        assert_eq!(
            fold_paths(&[
                "/b/m/a-1_in_map",
                "/b/m/a-2_in_map",
                "/b/m/a-3_in_map",
                "/b/x"
            ]),
            [
                "/b/m/a-*_in_map",
                "/b/m/a-*_in_map",
                "/b/m/a-*_in_map",
                "/b/x"
            ]
        );
    }

    #[test]
    fn two_places_may_vary() {
        let names: Vec<String> = (0..3)
            .flat_map(|pod| (0..4).map(move |dev| format!("/b/{pod}/eth{dev}/map")))
            .collect();
        let paths: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(fold_paths(&paths), vec!["/b/*/*/map"; 12]);
    }

    #[test]
    fn few_or_different_paths_stay() {
        for paths in [
            &["/b/a/x", "/b/b/x"][..],
            &["/a", "/b/c", "/d/e/f"],
            &[""],
            &[],
        ] {
            assert_eq!(fold_paths(paths), paths);
        }
    }
}
