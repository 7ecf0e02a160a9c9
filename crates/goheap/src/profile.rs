//! The heap profile that the runtime itself keeps: `runtime.mbuckets` (`runtime/mprof.go`).
//!
//! A bucket for each stack and size that was sampled. Its record counts what was allocated and freed up to a
//! collection before the last one; the sampling is not undone here (one in `MemProfileRate` bytes).

use crate::error::Error;
use crate::fields::Fields;
use crate::find::checks;
use crate::look::Frame;
use crate::names::Names;
use crate::reader::{Blocks, Reader, number};
use rustc_hash::FxHashSet;

/// Buckets that are read at most.
const MOST: usize = 1 << 18;
/// Buckets whose stacks are given names.
const SHOWN: usize = 256;
/// Frames of a stack at most (`runtime.maxProfStackDepth` is 1024).
const DEEPEST: u64 = 1024;

/// What was sampled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Sampled bytes in use, over all sites.
    pub bytes: u64,
    /// The sites with the most bytes in use, the largest first.
    pub sites: Vec<Site>,
    /// There were more sites than were read, or naming those with the most bytes took too much.
    pub cut: bool,
}

/// A stack that allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Sampled objects in use.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sampled objects that were allocated since the program began.
    pub allocated: u64,
    /// The calls, the innermost first.
    pub stack: Vec<Frame>,
}

/// Reads it. `None`: nothing was sampled.
pub fn read(
    reader: &Reader<'_>,
    fields: &Fields,
    buckets: u64,
    names: &Names<'_>,
) -> Result<Option<Profile>, Error> {
    if buckets == 0 {
        return Ok(None);
    }
    names.begin();
    let (of, record) = (&fields.bucket, &fields.record);
    let mut memory = Blocks::new(reader);
    let mut seen = FxHashSet::default();
    let mut next = reader.word(buckets)?;
    let mut profile = Profile::default();
    let mut found: Vec<(Site, u64, u64)> = Vec::new();
    while checks::pointer(next) && seen.insert(next) {
        if found.len() >= MOST {
            profile.cut = true;
            break;
        }
        let mut head = vec![0; of.size as usize];
        if !memory.fill(next, &mut head)? {
            break;
        }
        let get = |field: gobinary::layout::Field| {
            number(&head, field.offset, field.size.min(8)).unwrap_or(0)
        };
        let frames = get(of.frames);
        if frames > DEEPEST {
            break;
        }
        // bucket.mp: the record stands behind the stack; its first cycle is what is complete.
        let mut counts = vec![0; record.size as usize];
        let at = next.wrapping_add(of.size + frames * 8);
        if !memory.fill(at, &mut counts)? {
            break;
        }
        let count = |field: gobinary::layout::Field| {
            number(&counts, field.offset, field.size.min(8)).unwrap_or(0)
        };
        let (allocated, freed) = (count(record.allocs), count(record.frees));
        let objects = allocated.saturating_sub(freed);
        let site = Site {
            objects,
            // All objects of a bucket have the same size (runtime.stkbucket).
            bytes: objects.saturating_mul(get(of.size_of_object)),
            allocated,
            stack: Vec::new(),
        };
        profile.bytes = profile.bytes.saturating_add(site.bytes);
        found.push((site, next.wrapping_add(of.size), frames));
        next = get(of.next);
    }
    found.sort_by_key(|(site, _, _)| std::cmp::Reverse(site.bytes));
    for (mut site, at, frames) in found.into_iter().take(SHOWN) {
        let mut stack = vec![0; (frames * 8) as usize];
        if !memory.fill(at, &mut stack)? {
            continue;
        }
        for pc in stack.chunks_exact(8).filter_map(|word| number(word, 0, 8)) {
            // runtime.Callers: return addresses.
            site.stack.extend(names.frames(pc.wrapping_sub(1)));
            if names.complete().is_err() {
                // A stack that lacks some of its calls may name the wrong one.
                profile.cut = true;
                return Ok(Some(profile));
            }
        }
        profile.sites.push(site);
    }
    Ok(Some(profile))
}
