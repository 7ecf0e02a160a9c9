//! Chains that are nearly the same, as one.

use super::crowd::CROWD;
use model::{Holder, Socket};
use std::collections::HashMap;

/// Chains that are the same up to their end, and end in processes of one name.
pub(super) struct Bundle<'a> {
    pub way: &'a [Holder],
    pub end: Option<&'a Holder>,
    /// Of the processes at the end.
    pub pids: Vec<u32>,
    /// How many there are that differ only in the socket that they begin with.
    pub alike: u64,
}

/// In the order of their first chains.
pub(super) fn bundles(chains: &[Vec<Holder>]) -> Vec<Bundle<'_>> {
    alike(by_name(chains))
}

fn by_name(chains: &[Vec<Holder>]) -> Vec<Bundle<'_>> {
    let mut places: HashMap<(&[Holder], &str), usize> = HashMap::new();
    let mut bundles: Vec<Bundle<'_>> = vec![];
    for chain in chains {
        let (end, way) = match chain.split_last() {
            Some((end, way)) => (Some(end), way),
            None => (None, &chain[..]),
        };
        let mut pids = vec![];
        if let Some(Holder::Process(process)) = end
            && process.tid.is_none()
        {
            let at = *places.entry((way, &*process.comm)).or_insert(bundles.len());
            if let Some(bundle) = bundles.get_mut(at) {
                bundle.pids.push(process.pid);
                continue;
            }
            pids.push(process.pid);
        }
        bundles.push(Bundle {
            way,
            end,
            pids,
            alike: 1,
        });
    }
    bundles
}

/// What chains have in common that differ only in the socket that they begin with: what is
/// known of it, the rest of the way, and the end, of a process without the descriptors.
type Likeness<'a> = (
    Option<&'a str>,
    Option<u64>,
    &'a [Holder],
    Result<(&'a str, Vec<u32>), Option<&'a Holder>>,
);

fn likeness<'a>(bundle: &Bundle<'a>) -> Option<Likeness<'a>> {
    let (Holder::Socket(socket), rest) = bundle.way.split_first()? else {
        return None;
    };
    let Socket { family, netns, .. } = &**socket;
    let end = match bundle.end {
        Some(Holder::Process(process)) if !bundle.pids.is_empty() => {
            Ok((&*process.comm, bundle.pids.clone()))
        }
        other => Err(other),
    };
    Some((family.as_deref(), *netns, rest, end))
}

/// Puts those together that are many and alike.
fn alike(bundles: Vec<Bundle<'_>>) -> Vec<Bundle<'_>> {
    let mut numbers: HashMap<Likeness<'_>, u64> = HashMap::new();
    for likeness in bundles.iter().filter_map(likeness) {
        *numbers.entry(likeness).or_default() += 1;
    }
    numbers.retain(|_, number| *number > CROWD);
    let mut kept = vec![];
    for mut bundle in bundles {
        let likeness = likeness(&bundle);
        match likeness.and_then(|likeness| numbers.get_mut(&likeness)) {
            // The first stands for all.
            Some(0) => continue,
            Some(number) => bundle.alike = std::mem::take(number),
            None => {}
        }
        kept.push(bundle);
    }
    kept
}
