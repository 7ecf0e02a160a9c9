//! The samples of a profile, and the stacks they are counted by.

use super::error::content;
use super::tables::{Columns, Line, Tables, at_most, inside};
use super::wire::fields;
use super::{ProfileError, ProfiledStack};
use model::{Frame, Site};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Frames that are looked at, of all samples together.
const MAX_FRAMES: usize = 8 << 20;
/// Bytes of the sites that are made.
const MAX_TEXT: usize = 512 << 20;
/// The deepest stack of any runtime (`maxProfStackDepth`); what is beyond is left away.
const DEEPEST: usize = 1024;
/// Runtimes cut stacks at 32 frames (to Go 1.22) or at 128 (`GODEBUG=profstackdepth`), of which a
/// few may be the runtime's own, which are not told of. Less deep, it is whole.
const SURELY_WHOLE: usize = 24;
/// Functions that nothing calls.
const OUTERMOST: [&[u8]; 6] = [
    b"runtime.main",
    b"runtime.goexit",
    b"runtime.mstart",
    b"runtime.runfinq",
    b"runtime.runFinalizers",
    b"runtime.runCleanups",
];

/// What is told of a frame. Texts are numbers here: stacks are compared often.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Line { function: u32, file: u32, line: u32 },
    Unknown { address: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    place: Place,
    inlined: bool,
}

/// Every text once.
#[derive(Default)]
struct Texts<'a> {
    all: Vec<&'a [u8]>,
    numbers: HashMap<&'a [u8], u32>,
    /// So that a long string that many functions mean is hashed once.
    by_index: HashMap<i64, u32>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, index: i64, tables: &Tables<'a>) -> Result<u32, ProfileError> {
        if let Some(&number) = self.by_index.get(&index) {
            return Ok(number);
        }
        let text = tables.string(index)?;
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.all.push(text);
        }
        self.by_index.insert(index, number);
        Ok(number)
    }

    fn text(&self, number: u32) -> &'a [u8] {
        self.all.get(number as usize).copied().unwrap_or_default()
    }
}

/// Stacks, and what is in use of each.
#[derive(Default)]
pub(super) struct Counted<'a> {
    pub objects: u64,
    pub bytes: u64,
    texts: Texts<'a>,
    /// In the order they were first seen: objects and bytes.
    in_use: Vec<(u64, u64)>,
    /// Places in `in_use`.
    places: HashMap<Box<[Key]>, usize>,
}

/// Counts the samples of a profile by stack.
pub(super) fn count<'a>(
    bytes: &'a [u8],
    tables: &Tables<'a>,
    columns: Columns,
) -> Result<Counted<'a>, ProfileError> {
    let mut counted = Counted::default();
    let mut stack = Vec::new();
    let mut looked_at = 0;
    for field in fields(bytes) {
        let (2, value) = field? else { continue };
        let message = value.bytes()?;
        // Most stacks of a program have nothing in use any more.
        let (objects, bytes) = values(message, columns)?;
        if objects == 0 && bytes == 0 {
            continue;
        }
        stack.clear();
        counted.stack(message, tables, &mut stack)?;
        looked_at += stack.len();
        at_most(looked_at, MAX_FRAMES, "frames")?;
        counted.add(&stack, objects, bytes)?;
    }
    Ok(counted)
}

/// Objects and bytes in use of a sample.
fn values(message: &[u8], columns: Columns) -> Result<(u64, u64), ProfileError> {
    let (mut objects, mut bytes, mut count) = (0, 0, 0);
    for field in fields(message) {
        let (2, value) = inside(field)? else { continue };
        for number in value.numbers() {
            let number = number? as i64;
            if count == columns.objects {
                objects = number;
            } else if count == columns.bytes {
                bytes = number;
            }
            count += 1;
        }
    }
    if count != columns.count {
        let why = format!("it has {count} values; {} are due", columns.count);
        return Err(content("a sample", why));
    }
    let counted = |number| u64::try_from(number).map_err(|_| ProfileError::Difference);
    Ok((counted(objects)?, counted(bytes)?))
}

impl<'a> Counted<'a> {
    /// The frames of a sample, innermost first.
    fn stack(
        &mut self,
        message: &[u8],
        tables: &Tables<'a>,
        stack: &mut Vec<Key>,
    ) -> Result<(), ProfileError> {
        for field in fields(message) {
            let (1, value) = inside(field)? else { continue };
            for id in value.numbers() {
                self.location(id?, tables, stack)?;
                if stack.len() >= DEEPEST {
                    stack.truncate(DEEPEST);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A location is one address, and all functions that the compiler put there: each but the
    /// last was inlined into the next.
    fn location(
        &mut self,
        id: u64,
        tables: &Tables<'a>,
        stack: &mut Vec<Key>,
    ) -> Result<(), ProfileError> {
        let location = tables
            .locations
            .get(&id)
            .ok_or_else(|| content("a sample", format!("there is no location {id}")))?;
        let unknown = Place::Unknown {
            address: location.address,
        };
        let lines = tables.lines.get(location.lines.clone());
        let lines = lines.unwrap_or_default();
        let Some(last) = lines.len().checked_sub(1) else {
            stack.push(Key {
                place: unknown,
                inlined: false,
            });
            return Ok(());
        };
        for (at, line) in lines.iter().take(DEEPEST).enumerate() {
            let place = self.place(*line, tables)?.unwrap_or(unknown);
            let inlined = at < last;
            stack.push(Key { place, inlined });
        }
        Ok(())
    }

    fn place(&mut self, line: Line, tables: &Tables<'a>) -> Result<Option<Place>, ProfileError> {
        if line.function == 0 {
            return Ok(None);
        }
        let id = line.function;
        let function = tables
            .functions
            .get(&id)
            .ok_or_else(|| content("a location", format!("there is no function {id}")))?;
        let name = self.texts.number(function.name, tables)?;
        let system_name = self.texts.number(function.system_name, tables)?;
        let file = self.texts.number(function.file, tables)?;
        let named = |&name: &u32| !self.texts.text(name).is_empty();
        let name = [name, system_name].into_iter().find(named);
        Ok(name.map(|function| Place::Line {
            function,
            file,
            line: u32::try_from(line.line).unwrap_or(0),
        }))
    }

    fn add(&mut self, stack: &[Key], objects: u64, bytes: u64) -> Result<(), ProfileError> {
        let sum = |one: u64, other| {
            let sum = one.checked_add(other);
            sum.ok_or_else(|| content("its samples", "together they are more than can be counted"))
        };
        self.objects = sum(self.objects, objects)?;
        self.bytes = sum(self.bytes, bytes)?;
        if let Some(&at) = self.places.get(stack) {
            // No more than the sums of all.
            if let Some((all_objects, all_bytes)) = self.in_use.get_mut(at) {
                *all_objects += objects;
                *all_bytes += bytes;
            }
            return Ok(());
        }
        self.places.insert(stack.into(), self.in_use.len());
        self.in_use.push((objects, bytes));
        Ok(())
    }

    /// The stacks with their sites, the most bytes first.
    pub(super) fn stacks(self) -> Result<Vec<ProfiledStack>, ProfileError> {
        let text: usize = self.places.keys().map(|stack| self.size(stack)).sum();
        at_most(text, MAX_TEXT, "bytes of names in its stacks")?;
        let mut stacks: Vec<_> = self.places.iter().collect();
        stacks.sort_unstable_by_key(|&(_, &at)| {
            let (objects, bytes) = self.in_use[at];
            (Reverse(bytes), Reverse(objects), at)
        });
        let stacks = stacks.into_iter().map(|(stack, &at)| ProfiledStack {
            in_use_objects: self.in_use[at].0,
            in_use_bytes: self.in_use[at].1,
            site: self.site(stack),
        });
        Ok(stacks.collect())
    }

    /// About what the site will take.
    fn size(&self, stack: &[Key]) -> usize {
        let texts = stack.iter().map(|key| match key.place {
            Place::Line { function, file, .. } => {
                self.texts.text(function).len() + self.texts.text(file).len()
            }
            Place::Unknown { .. } => 0,
        });
        texts.map(|text| text + size_of::<Frame>()).sum()
    }

    fn site(&self, stack: &[Key]) -> Site {
        let named = |key: &Key| matches!(key.place, Place::Line { .. });
        Site {
            complete: stack.iter().all(named) && self.is_whole(stack),
            frames: stack.iter().map(|key| self.frame(*key)).collect(),
        }
    }

    /// Nothing says where a stack was cut: only its depth and its end tell.
    fn is_whole(&self, stack: &[Key]) -> bool {
        match stack.last().map(|key| key.place) {
            None => false,
            Some(Place::Line { function, .. }) => {
                stack.len() < SURELY_WHOLE || OUTERMOST.contains(&self.texts.text(function))
            }
            Some(Place::Unknown { .. }) => stack.len() < SURELY_WHOLE,
        }
    }

    fn frame(&self, key: Key) -> Frame {
        let inlined = key.inlined;
        match key.place {
            Place::Line {
                function,
                file,
                line,
            } => {
                let file = self.texts.text(file);
                Frame {
                    function: model::decode(self.texts.text(function)),
                    file: (!file.is_empty()).then(|| model::decode(file)),
                    line: (line > 0).then_some(line),
                    inlined,
                }
            }
            Place::Unknown { address } => Frame {
                function: format!("{address:#x}"),
                file: None,
                line: None,
                inlined,
            },
        }
    }
}
