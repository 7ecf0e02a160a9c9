//! From a descriptor to the Go object that owns it: by types and functions that are known, never by a number that
//! looks like it.

use super::place::{Place, descriptor, integers, is_standard, place};
use super::queues;
use super::whole::{complete, running_cleanup, unread};
use super::words::Words;
use crate::handles::Handle;
use explain::evidence::{
    Mark, Owner, Ownership, QueueKind, Reading, RegisteredRelease, State, Why,
};
use goheap::{Call, Kind, Look, Queued, Special, TypeName};
use libraries::Library;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The owners of all descriptors, as of one look.
pub struct Owners {
    by_fd: FxHashMap<u32, Vec<Owner>>,
    words: Words,
    /// By the address of what a look has of a type: thousands of objects have the same.
    places: FxHashMap<*const TypeName, Place>,
    /// Numbers that stand in what is not known to own a descriptor, and may: what that is.
    perhaps: FxHashMap<u32, Why>,
    /// Something of a type that is not known may own a descriptor by what it points to.
    hides: Option<Why>,
    /// A release that runs, and may be about to close any descriptor that nobody owns.
    runs: Option<Why>,
    /// Nothing was left out; else what was.
    complete: Reading<()>,
    /// Of the heap, if so: a second owner of a descriptor may stand there, and keep it.
    unread: Option<Why>,
}

impl Owners {
    /// Of what a look saw; `paused`: while nobody let the process go on. `marks` says what the last collection found at addresses.
    pub fn of(
        look: &Look,
        paused: Option<Why>,
        libraries: &[Library],
        marks: &dyn Fn(&[u64]) -> Vec<goheap::Mark>,
    ) -> Self {
        let mut found = Self {
            by_fd: FxHashMap::default(),
            words: Words::default(),
            places: FxHashMap::default(),
            perhaps: FxHashMap::default(),
            hides: None,
            runs: running_cleanup(look),
            unread: unread(look),
            complete: match paused {
                // It may just have got a descriptor.
                Some(why) => Err(why),
                None => complete(look),
            },
        };
        for special in &look.specials {
            found.special(special, libraries);
        }
        for queued in &look.queue {
            found.queued(queued, queues::state(queued, look), libraries);
        }
        found.mark_queued(marks);
        // They are of this look.
        found.places = FxHashMap::default();
        found
    }

    fn special(&mut self, special: &Special, libraries: &[Library]) {
        let (kind, function, pointer, number) = match &special.kind {
            Kind::Finalizer { pointer, function } => {
                let bytes = special.bytes.as_deref();
                let Some(number) = self.number_in(pointer, bytes, libraries) else {
                    return;
                };
                (QueueKind::Finalizer, function, Some(pointer), number)
            }
            Kind::Cleanup {
                function, argument, ..
            } => {
                let Some(number) = self.argument_of(function, *argument) else {
                    return;
                };
                (QueueKind::Cleanup, function, None, number)
            }
            Kind::Weak => return,
        };
        let owner = Owner {
            address: Some(special.object),
            mark: mark(&special.mark),
            tiny: special.tiny,
            ..self.owner(
                kind,
                function,
                pointer.map(|p| &**p),
                State::Pending,
                number,
            )
        };
        self.add(number, owner);
    }

    fn queued(&mut self, queued: &Queued, state: State, libraries: &[Library]) {
        match &queued.call {
            Call::Finalizer {
                object,
                pointer,
                function,
                bytes,
            } => {
                let Some(number) = self.number_in(pointer, bytes.as_deref(), libraries) else {
                    return;
                };
                if number < 0 {
                    // One that runs takes the number out of its object before it closes it; which one does is read a
                    // moment before what stands in the object.
                    self.runs =
                        Some(format!("the finalizer {function} may run, and close it").into());
                }
                let owner = Owner {
                    address: Some(*object),
                    ..self.owner(QueueKind::Finalizer, function, Some(pointer), state, number)
                };
                self.replace(number, owner, |other| other.address == Some(*object));
            }
            Call::Cleanup { function, argument } => {
                let Some(number) = self.argument_of(function, *argument) else {
                    return;
                };
                let owner = Owner {
                    mark: Mark::Gone,
                    ..self.owner(QueueKind::Cleanup, function, None, state, number)
                };
                let of = |owner: &Owner| owner.release.as_ref().and_then(|r| r.function.clone());
                let function = of(&owner);
                self.replace(number, owner, |other| of(other) == function);
            }
        }
    }

    /// The descriptor in an object with a finalizer. `None` if it owns none, or that is not known.
    fn number_in(
        &mut self,
        pointer: &TypeName,
        bytes: Option<&[u8]>,
        libraries: &[Library],
    ) -> Option<i64> {
        let name = &pointer.name;
        let known = self.places.entry(std::ptr::from_ref(pointer));
        let place = *known.or_insert_with(|| place(pointer, libraries));
        match place {
            Place::At(offset, width) => {
                let found = number(bytes, offset, width);
                if found.is_none() {
                    self.complete = Err(format!("a {name} could not be read").into());
                }
                found
            }
            Place::Nowhere => None,
            Place::Perhaps => {
                if hides(pointer) {
                    let what = if name.is_empty() {
                        "an object of an unread type"
                    } else {
                        name
                    };
                    self.hides.get_or_insert_with(|| {
                        format!("{what} with a finalizer may own it by what it points to").into()
                    });
                }
                if bytes.is_none() && integers(pointer).next().is_some() {
                    self.complete = Err(format!("a {name} could not be read").into());
                }
                for integer in integers(pointer) {
                    let found = number(bytes, integer.offset, integer.width);
                    if let Some(fd) = found.and_then(|n| u32::try_from(n).ok()) {
                        let path = &integer.path;
                        self.perhaps.entry(fd).or_insert_with(|| {
                            format!("{path} of a {name} with a finalizer is the same number, and may be it").into()
                        });
                    }
                }
                None
            }
        }
    }

    /// The descriptor that a cleanup closes. `None` if it closes none, or that is not known.
    fn argument_of(&mut self, function: &str, argument: Option<u64>) -> Option<i64> {
        let Some(known) = libraries::cleanup(function) else {
            if let Some(fd) = argument.and_then(|n| u32::try_from(n).ok()) {
                self.perhaps.entry(fd).or_insert_with(|| {
                    format!("the cleanup {function} has the same number, and may close it").into()
                });
            }
            // A pointer, or what could not be read.
            let hides = argument.is_none_or(|argument| argument >= 4096);
            if hides && !is_standard(function) {
                self.hides.get_or_insert_with(|| {
                    format!("the cleanup {function} may close it by what it is given").into()
                });
            }
            return None;
        };
        descriptor(known.stands)?;
        if argument.is_none() {
            self.complete = Err(format!("the argument of {function} could not be read").into());
        }
        argument.map(u64::cast_signed)
    }

    fn owner(
        &mut self,
        kind: QueueKind,
        function: &Arc<str>,
        pointer: Option<&TypeName>,
        state: State,
        number: i64,
    ) -> Owner {
        // A cleanup tells no type; its function tells whose it is.
        let (type_name, package) = match pointer {
            Some(pointer) => (Some(pointer.name.as_str()), pointer.package.as_deref()),
            None => libraries::cleanup(function).map_or((None, None), |known| {
                (Some(known.type_name), Some(known.package))
            }),
        };
        let words = &mut self.words;
        Owner {
            type_name: type_name.map(|word| words.type_name.share(word)),
            package: package.map(|word| words.package.share(word)),
            address: None,
            number: Some(number),
            release: Some(RegisteredRelease {
                kind,
                function: Some(function.clone()).filter(|function| !function.is_empty()),
                state,
            }),
            mark: Mark::Survived,
            tiny: false,
        }
    }

    /// A number below 0 is closed, or given away.
    fn add(&mut self, number: i64, owner: Owner) {
        if let Ok(fd) = u32::try_from(number) {
            // Nearly all have one owner: no room for more is made ahead.
            let owners = self.by_fd.entry(fd);
            owners.or_insert_with(|| Vec::with_capacity(1)).push(owner);
        }
    }

    /// The queue was read after the specials: what stands in both has been queued between.
    fn replace(&mut self, number: i64, owner: Owner, is_same: impl Fn(&Owner) -> bool) {
        if let Some(owners) = u32::try_from(number)
            .ok()
            .and_then(|fd| self.by_fd.get_mut(&fd))
        {
            let pending = |other: &Owner| {
                let release = other.release.as_ref();
                release.is_some_and(|release| release.state == State::Pending)
            };
            owners.retain(|other| !(pending(other) && is_same(other)));
        }
        self.add(number, owner);
    }

    /// Objects whose finalizers are queued are still there.
    fn mark_queued(&mut self, marks: &dyn Fn(&[u64]) -> Vec<goheap::Mark>) {
        let owners = self.by_fd.values_mut().flatten();
        let mut queued: Vec<&mut Owner> =
            owners.filter(|owner| is_queued_finalizer(owner)).collect();
        let objects: Vec<u64> = queued.iter().filter_map(|owner| owner.address).collect();
        if objects.is_empty() {
            return;
        }
        for (owner, found) in queued.iter_mut().zip(marks(&objects)) {
            owner.mark = mark(&found);
        }
    }

    /// Every descriptor has an owner.
    pub fn own_all(&self, handles: &[Handle]) -> bool {
        let mut fds = handles.iter().flat_map(|handle| &handle.fds);
        fds.all(|fd| self.by_fd.contains_key(fd))
    }

    /// Nobody owns a descriptor, as far as this look tells.
    fn nobody(&self, fd: u32) -> Reading<()> {
        self.complete.clone()?;
        let perhaps = self.perhaps.get(&fd);
        match perhaps.or(self.hides.as_ref()).or(self.runs.as_ref()) {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }
}

/// An object of this type may own a descriptor that is not among the numbers that are looked at.
fn hides(pointer: &TypeName) -> bool {
    let far = integers(pointer).count() < pointer.integers.len();
    let more = pointer.has_more || far || pointer.integers.is_empty();
    more && !pointer.package.as_deref().is_some_and(is_standard)
}

/// Who owns a descriptor, by the last of several looks. That nobody does is said if none of them found anybody, and
/// two of them saw all.
pub fn ownership(looks: &[Owners], fd: u32) -> Ownership {
    let last = looks
        .last()
        .and_then(|last| Some((last.by_fd.get(&fd)?, &last.unread)));
    if let Some((owners, unread)) = last {
        if let Some(why) = unread
            && owners.iter().any(lets_go)
        {
            let why = format!("{why}, and another that keeps it may be there");
            return Ownership::Unread(why.into());
        }
        if let [only] = owners.as_slice() {
            return Ownership::Owned(vec![only.clone()]);
        }
        // A field that is only called like a descriptor is no match for one that is known to be one.
        let known: Vec<Owner> = owners.iter().filter(|o| is_known(o)).cloned().collect();
        return Ownership::Owned(if known.is_empty() {
            owners.clone()
        } else {
            known
        });
    }
    if looks.iter().any(|look| look.by_fd.contains_key(&fd)) {
        let why = "it had an owner a moment before: such descriptors come and go";
        return Ownership::None(Err(why.into()));
    }
    let said: Vec<Reading<()>> = looks.iter().map(|look| look.nobody(fd)).collect();
    if said.iter().filter(|said| said.is_ok()).count() > 1 {
        return Ownership::None(Ok(()));
    }
    let why = said.into_iter().find_map(Result::err);
    Ownership::None(Err(why.unwrap_or_else(|| "one look is not enough".into())))
}

/// It is no more reached, or its release is on its way.
fn lets_go(owner: &Owner) -> bool {
    let release = owner.release.as_ref();
    let pending = release.is_none_or(|release| release.state == State::Pending);
    !pending || matches!(owner.mark, Mark::DeadUnswept | Mark::Free | Mark::Gone)
}

/// The table of libraries has its type, or its cleanup.
fn is_known(owner: &Owner) -> bool {
    let function = owner.release.as_ref().and_then(|r| r.function.as_deref());
    let by_type = owner.type_name.as_deref().zip(owner.package.as_deref());
    function.is_some_and(|function| libraries::cleanup(function).is_some())
        || by_type.is_some_and(|(name, package)| libraries::owner(name, package, None).is_some())
}

fn is_queued_finalizer(owner: &Owner) -> bool {
    let release = owner.release.as_ref();
    release.is_some_and(|r| r.kind == QueueKind::Finalizer && r.state != State::Pending)
}

fn number(bytes: Option<&[u8]>, offset: u64, width: u64) -> Option<i64> {
    let from = usize::try_from(offset).ok()?;
    let bytes = bytes?.get(from..)?;
    match width {
        4 => Some(i64::from(i32::from_le_bytes(*bytes.first_chunk()?))),
        8 => Some(i64::from_le_bytes(*bytes.first_chunk()?)),
        _ => None,
    }
}

fn mark(found: &goheap::Mark) -> Mark {
    match found {
        goheap::Mark::Survived => Mark::Survived,
        goheap::Mark::New => Mark::New,
        goheap::Mark::DeadUnswept => Mark::DeadUnswept,
        goheap::Mark::Free => Mark::Free,
        goheap::Mark::Unread(why) => Mark::Unread(why.to_string().into()),
    }
}
