//! A process's heap: found once, looked at as often as wanted.

use crate::counter::Counter;
use crate::error::Error;
use crate::fields::Fields;
use crate::find::{Candidates, Variables, checks, names};
use crate::goroutines::{Goroutines, Known};
use crate::look::{Collector, FORCED, Look, Phase, TypeName};
use crate::mark::{Mark, Unread};
use crate::names::Names;
use crate::profile::Profile;
use crate::reader::{LIMIT, Reader};
use crate::{profile, queue, spans, specials};
use gobinary::layout::{Arch, Layout, Layouts};
use gobinary::{BuildInfo, Executable, FunctionTable, Memory, Module, Region, Slice, Span};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::cell::RefCell;

/// Bytes of an object that are read at most.
const MOST_BYTES: u64 = 4096;

/// A running program.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its executable.
    pub executable: &'a Executable<'a>,
    /// What is mapped in the process.
    pub regions: &'a [Region],
    /// Which of the regions map the executable: device and inode, as `/proc/PID/maps` shows them.
    pub file: Option<(u64, u64)>,
    /// The layout of its release, read from its own debugging information: for a release that the table does not have, or that
    /// was built with experiments.
    pub layout: Option<&'a Layout>,
}

/// The runtime of a process.
pub struct Heap<'a> {
    memory: &'a dyn Memory,
    fields: Fields,
    arch: Arch,
    version: String,
    names: Names<'a>,
    candidates: Candidates,
    at: Variables,
    /// Goroutines that the last look found to run finalizers and cleanups.
    runners: Vec<Known>,
    reasons: FxHashMap<i64, String>,
}

impl<'a> Heap<'a> {
    /// Finds the runtime of a process.
    ///
    /// A release that is newer than the table of layouts is read by its own layout, if one is given, else by
    /// the newest of the table; in each case only if everything that is found is as it has to be.
    pub fn attach(memory: &'a dyn Memory, program: &Program<'a>) -> Result<Self, Error> {
        let executable = program.executable;
        let info = executable.build_info()?;
        let arch = executable.arch();
        if let Some(experiment) = refused(&info) {
            return Err(Error::Experiment(info.go, experiment));
        }
        let (newest, newest_layout) = Layouts::newest(arch).ok_or(Error::Layout("every struct"))?;
        let other = || Error::Release(info.go.clone(), newest);
        let minor = info.minor();
        let layout: Cow<'_, Layout> =
            match minor.map(|minor| (minor, Layouts::for_release(minor, arch))) {
                Some((_, Some(known))) => Cow::Borrowed(program.layout.unwrap_or(known)),
                Some((minor, None)) if minor < newest => return Err(other()),
                // Newer, or built from a tree without a number.
                _ => program
                    .layout
                    .map_or(Cow::Borrowed(newest_layout), Cow::Borrowed),
            };
        let known = minor.is_some_and(|minor| minor <= newest);
        match Self::find(
            memory,
            program,
            &layout,
            minor.unwrap_or(newest),
            info.go.clone(),
        ) {
            // What does not fit is no fault of the process if its release is not known.
            Err(Error::NotFound(_) | Error::Layout(_) | Error::Binary(_)) if !known => Err(other()),
            found => found,
        }
    }

    fn find(
        memory: &'a dyn Memory,
        program: &Program<'a>,
        layout: &Layout,
        minor: u16,
        version: String,
    ) -> Result<Self, Error> {
        let executable = program.executable;
        let bias = executable
            .load_bias(program.regions, program.file)
            .ok_or(Error::NotMapped)?;
        let modules = executable.live_modules(memory, program.regions, bias, layout)?;
        let first = modules.first().ok_or(Error::NotFound("the module"))?;
        let fields = Fields::of(layout)?;
        let functions = FunctionTable::new(executable, &linked(first, bias))?.with_bias(bias);
        let found = functions.by_names(&names())?;
        // In any order, if the C compiler has linked it.
        let parts = [first.noptrdata, first.data, first.bss, first.noptrbss];
        let start = parts.iter().map(|part| part.start).min().unwrap_or(0);
        let data = start..parts.iter().map(|part| part.end).max().unwrap_or(0);
        let candidates = Candidates::of(executable.arch(), memory, &found, &data)?;
        let at = candidates.check(&Reader::new(memory, LIMIT), &fields)?;
        Ok(Self {
            memory,
            fields,
            arch: executable.arch(),
            version,
            names: Names::new(
                executable,
                (&linked(first, bias), bias),
                memory,
                &modules,
                minor,
            )?,
            candidates,
            at,
            runners: Vec::new(),
            reasons: layout
                .constants("runtime.waitReason")
                .map(|(name, value)| (value, name.to_owned()))
                .collect(),
        })
    }

    /// The release it was built with: `go1.26.8`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where the runtime's variables are.
    pub fn variables(&self) -> Variables {
        self.at
    }

    /// Where the count of collections stands, for those who want no more than that.
    pub fn counter(&self) -> Counter {
        Counter::new(self.at.heap, &self.fields)
    }

    /// What the runtime calls a reason to wait, without its `waitReason`: `ChanReceive`.
    pub fn reason(&self, reason: u8) -> Option<&str> {
        self.reasons.get(&i64::from(reason)).map(String::as_str)
    }

    /// One look, without the bytes of objects.
    pub fn look(&mut self) -> Result<Look, Error> {
        self.look_with(&|_| 0)
    }

    /// One look. `wanted` says of a type of pointer how many bytes of the objects are read, together with what is said
    /// of them: so a descriptor that stands in an object belongs to it.
    ///
    /// If a collection ends meanwhile, it is made again, two times at most. Marks are of the collection that is told; those
    /// that are not are unread ([`Look::cycle_moved`]).
    pub fn look_with(&mut self, wanted: &dyn Fn(&TypeName) -> u64) -> Result<Look, Error> {
        const AGAIN: u32 = 2;
        let mut look = self.look_once(wanted)?;
        for left in (0..=AGAIN).rev() {
            let after = self.collector()?;
            look.cycle_moved = after.cycles != look.collector.cycles;
            look.collector = after;
            if !look.cycle_moved || left == 0 {
                break;
            }
            look = self.look_once(wanted)?;
        }
        let cycle = look.collector.cycles;
        for special in look.specials.iter_mut().filter(|s| s.cycle != cycle) {
            special.mark = Mark::Unread(Unread::Cycle);
        }
        Ok(look)
    }

    fn look_once(&mut self, wanted: &dyn Fn(&TypeName) -> u64) -> Result<Look, Error> {
        // Asked for once of each type, however many objects have it.
        let known = RefCell::new(FxHashMap::default());
        let wanted = |name: &TypeName| {
            let mut known = known.borrow_mut();
            *known
                .entry(name.addr)
                .or_insert_with(|| wanted(name).min(MOST_BYTES))
        };
        let reader = Reader::new(self.memory, LIMIT);
        self.names.begin();
        let mut look = Look {
            collector: self.collector_of(&reader)?,
            ..Look::default()
        };
        reader.sparing(|| {
            specials::read(
                &reader,
                &self.fields,
                self.at.heap,
                &mut self.names,
                &wanted,
                &mut look,
            )
        })?;
        // In the order in which a release goes its way: whatever has left one part before that is read is in a later one.
        let (fields, at) = (&self.fields, &self.at);
        let blocks = queue::cleanups(&reader, fields, at, &mut self.names, &mut look)?;
        let goroutines = Goroutines {
            reader: &reader,
            arch: self.arch,
            fields,
            at,
            names: &self.names,
        };
        goroutines.read(&blocks, &mut self.runners, &mut look)?;
        queue::taken(&mut look);
        queue::finalizers(&reader, fields, at, &mut self.names, &wanted, &mut look)?;
        self.names.complete()?;
        Ok(look)
    }

    /// What the last completed collection says of the objects at these addresses. An address inside an object stands for
    /// the object.
    pub fn marks(&self, objects: &[u64]) -> Result<Vec<Mark>, Error> {
        let reader = Reader::new(self.memory, LIMIT);
        specials::marks(&reader, &self.fields, self.at.heap, objects)
    }

    /// The collector's own figures.
    pub fn collector(&self) -> Result<Collector, Error> {
        self.collector_of(&Reader::new(self.memory, LIMIT))
    }

    fn collector_of(&self, reader: &Reader<'_>) -> Result<Collector, Error> {
        let fields = &self.fields;
        let number = |at, field| checks::field(reader, at, field);
        let (heap, stats, controller) = (self.at.heap, self.at.memstats, self.at.controller);
        let nonzero = |value: u64| (value != 0).then_some(value);
        let last = nonzero(number(stats, fields.memstats.last)?);
        let percent = number(controller, fields.controller_percent)? as u32 as i32;
        let limit = match fields.controller_limit {
            // math.MaxInt64: none.
            Some(limit) => {
                Some(number(controller, limit)?).filter(|limit| *limit < i64::MAX as u64)
            }
            None => None,
        };
        let sweep = match (fields.heap_pages, fields.heap_swept) {
            (Some(pages), Some(swept)) => Some((number(heap, pages)?, number(heap, swept)?)),
            _ => None,
        };
        Ok(Collector {
            cycles: spans::sweepgen(reader, fields, heap)? / 2,
            last,
            last_unix: nonzero(number(stats, fields.memstats.last_unix)?),
            phase: match reader.half(self.at.phase)? {
                1 => Phase::Mark,
                2 => Phase::Termination,
                _ => Phase::Off,
            },
            percent: u32::try_from(percent).ok(),
            limit,
            live: number(controller, fields.controller_live)?,
            marked: number(controller, fields.controller_marked)?,
            sweep,
            forced: last
                .filter(|_| percent >= 0)
                .map(|last| last.saturating_add(FORCED.as_nanos() as u64)),
        })
    }

    /// The bytes of an object, as far as they can be read.
    pub fn read_object(&self, addr: u64, len: u64) -> Result<Vec<u8>, Error> {
        Reader::new(self.memory, LIMIT).bytes(addr, len)
    }

    /// The heap profile that the runtime keeps (`runtime.MemProfile`), largest first. `None`: it keeps none, as the
    /// program has no use for it, or has not sampled an allocation yet.
    pub fn profile(&mut self) -> Result<Option<Profile>, Error> {
        let reader = Reader::new(self.memory, LIMIT);
        if !self.at.profile {
            return Ok(None);
        }
        if self.at.buckets == 0 {
            // There was no bucket yet when it was looked for.
            self.at = self.candidates.check(&reader, &self.fields)?;
        }
        profile::read(&reader, &self.fields, self.at.buckets, &self.names)
    }
}

impl std::fmt::Debug for Heap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heap")
            .field("version", &self.version)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// An experiment that the release was built with, and that marks cannot be told with. With `runtimefreegc` the compiler has the
/// runtime free objects (`runtime.freegc`), whose slots are used again while their bits stay.
fn refused(info: &BuildInfo) -> Option<&'static str> {
    const REFUSED: [&str; 1] = ["runtimefreegc"];
    let mut named = info.experiments();
    named.find_map(|name| REFUSED.into_iter().find(|refused| *refused == name))
}

/// A module as it was linked: moved back by what the process has it moved.
fn linked(module: &Module, bias: u64) -> Module {
    let at = |addr: u64| addr.wrapping_sub(bias);
    let slice = |slice: Slice| Slice {
        addr: at(slice.addr),
        ..slice
    };
    let span = |span: Span| Span {
        start: at(span.start),
        end: at(span.end),
    };
    Module {
        addr: at(module.addr),
        pc_header: at(module.pc_header),
        funcnametab: slice(module.funcnametab),
        cutab: slice(module.cutab),
        filetab: slice(module.filetab),
        pctab: slice(module.pctab),
        pclntable: slice(module.pclntable),
        ftab: slice(module.ftab),
        minpc: at(module.minpc),
        maxpc: at(module.maxpc),
        text: span(module.text),
        types: span(module.types),
        rodata: at(module.rodata),
        gofunc: at(module.gofunc),
        ..*module
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_that_free_objects_are_refused() {
        let info = |version: &str| BuildInfo {
            go: version.into(),
            ..BuildInfo::default()
        };
        for version in [
            "go1.26.8 X:runtimefreegc",
            "go1.27.3-X:nogreenteagc,runtimefreegc",
        ] {
            assert_eq!(refused(&info(version)), Some("runtimefreegc"), "{version}");
        }
        for version in [
            "go1.26.8",
            "go1.26.8-X:nogreenteagc",
            "go1.27.3 X:noruntimefreegc",
        ] {
            assert_eq!(refused(&info(version)), None, "{version}");
        }
    }
}
