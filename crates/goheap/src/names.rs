//! Names of functions and types, each read once, from a budget of each look.

use crate::budget::{Budget, Limited};
use crate::error::Error;
use crate::look::{Frame, Integer, TypeName};
use gobinary::{Executable, FunctionTable, Kind, Memory, Module, Type, Types};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that are read for names, and kept of them, in one look. A function, and a call on a
/// stack, take some 3 KiB.
const LOOK: u64 = 64 << 20;
/// Bytes of names that are kept from one look to the next. Real programs need a hundredth of it.
const KEPT: u64 = 16 << 20;
/// What a name costs that is looked for, found or not, beside its bytes.
const ENTRY: u64 = 128;

/// Integers of a type that are told at most, types that are read to find them, and how deep structs are followed.
const INTEGERS: usize = 64;
const TYPES_OF_FIELDS: u32 = 512;
const NESTED: u32 = 4;
/// Bytes of the names that lead to an integer.
const PATH: usize = 256;

/// What functions and types of a process are called.
pub struct Names<'a> {
    functions: FunctionTable<Limited<'a>>,
    types: Types<Limited<'a>>,
    budget: Rc<Budget>,
    known: RefCell<Known>,
}

/// What was read.
#[derive(Default)]
struct Known {
    functions: FxHashMap<u64, Function>,
    types: FxHashMap<u64, Arc<TypeName>>,
    /// Bytes of both.
    bytes: u64,
    /// What could not be read in this look: it may be of a plugin that is just being loaded.
    unread_functions: FxHashSet<u64>,
    unread_types: FxHashMap<u64, Arc<TypeName>>,
    /// Calls by pc, in this look.
    frames: FxHashMap<u64, Rc<[Frame]>>,
}

#[derive(Clone)]
struct Function {
    name: Arc<str>,
    /// First pc. `None`: it is no Go code.
    entry: Option<u64>,
}

impl<'a> Names<'a> {
    /// Those of the functions of an executable's module (as it was linked; the process has it `bias` away), and of the types
    /// of a process of Go 1.`minor` with these modules. Nothing is read yet.
    pub fn new(
        executable: &'a Executable<'a>,
        (linked, bias): (&Module, u64),
        memory: &'a dyn Memory,
        modules: &[Module],
        minor: u16,
    ) -> Result<Self, Error> {
        let budget = Rc::new(Budget::default());
        budget.fill(LOOK);
        // The tables are read from the file: it is at hand without a call for each step of a search.
        let functions = FunctionTable::new(Limited::new(executable, &budget), linked)?;
        let types = Types::new(Limited::new(memory, &budget), modules, minor);
        Ok(Self::of(functions.with_bias(bias), types, budget))
    }

    fn of(
        functions: FunctionTable<Limited<'a>>,
        types: Types<Limited<'a>>,
        budget: Rc<Budget>,
    ) -> Self {
        Self {
            functions,
            types,
            budget,
            known: RefCell::default(),
        }
    }

    /// Another look begins: it has a budget of its own, and what could not be read is tried again.
    pub fn begin(&self) {
        self.budget.fill(LOOK);
        let mut known = self.known.borrow_mut();
        let known = &mut *known;
        if known.bytes > KEPT {
            known.functions.clear();
            known.types.clear();
            known.bytes = 0;
        }
        known.unread_functions.clear();
        known.unread_types.clear();
        known.frames.clear();
    }

    /// An error if something has no name only because it would have taken too much: then what the look says of it may be
    /// wrong.
    pub fn complete(&self) -> Result<(), Error> {
        if self.budget.is_spent() {
            return Err(Error::TooMuch("names of functions and types"));
        }
        Ok(())
    }

    /// The function that a pc is in; empty if it is no Go code.
    pub fn function(&self, pc: u64) -> Arc<str> {
        self.function_at(pc)
            .map_or_else(|| Arc::from(""), |function| function.name)
    }

    /// First pc of the function that a pc is in.
    pub fn entry(&self, pc: u64) -> Option<u64> {
        self.function_at(pc)?.entry
    }

    /// `None`: it could not be read.
    fn function_at(&self, pc: u64) -> Option<Function> {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.functions.get(&pc) {
            return Some(known.clone());
        }
        if known.unread_functions.contains(&pc) || !self.budget.spend(ENTRY) {
            return None;
        }
        let Ok(read) = self.functions.function(pc) else {
            known.unread_functions.insert(pc);
            return None;
        };
        let function = Function {
            entry: read.as_ref().map(|read| read.entry),
            name: read.map_or_else(|| Arc::from(""), |read| Arc::from(read.name)),
        };
        known.bytes += ENTRY + function.name.len() as u64;
        known.functions.insert(pc, function.clone());
        Some(function)
    }

    /// The type whose descriptor stands at an address.
    pub fn type_name(&self, addr: u64) -> Arc<TypeName> {
        let mut known = self.known.borrow_mut();
        let known = &mut *known;
        let found = known
            .types
            .get(&addr)
            .or_else(|| known.unread_types.get(&addr));
        if let Some(found) = found {
            return Arc::clone(found);
        }
        let (read, whole) = self.read_type(addr).unwrap_or_else(|| {
            let unread = TypeName {
                addr,
                name: String::new(),
                package: None,
                integers: Vec::new(),
                has_more: true,
            };
            (unread, false)
        });
        let bytes = size(&read);
        let read = Arc::new(read);
        if !self.budget.spend(bytes) {
            return read;
        }
        if whole {
            known.bytes += bytes;
            known.types.insert(addr, Arc::clone(&read));
        } else {
            known.unread_types.insert(addr, Arc::clone(&read));
        }
        read
    }

    /// A type, and whether all of it could be read.
    fn read_type(&self, addr: u64) -> Option<(TypeName, bool)> {
        let read = self.types.read(addr).ok()?;
        let mut search = Search {
            types: &self.types,
            left: TYPES_OF_FIELDS,
            found: Vec::new(),
            has_more: false,
            unread: false,
        };
        match read.elem.map(|elem| self.types.read(elem)) {
            Some(Ok(pointed)) => search.integers(&pointed, "", 0, NESTED),
            Some(Err(_)) => search.unread(),
            None => search.has_more = true,
        }
        let whole = !search.unread;
        let name = TypeName {
            addr,
            name: read.name,
            package: read.package,
            integers: search.found,
            has_more: search.has_more,
        };
        Some((name, whole))
    }

    /// The calls at a pc: what was inlined there, then the function.
    pub fn frames(&self, pc: u64) -> Vec<Frame> {
        let known = self.known.borrow().frames.get(&pc).cloned();
        let frames = known.unwrap_or_else(|| {
            let frames = self.functions.frames(pc).unwrap_or_default();
            let frames: Rc<[Frame]> = frames.into_iter().map(frame).collect();
            if self.budget.spend(ENTRY) {
                self.known
                    .borrow_mut()
                    .frames
                    .insert(pc, Rc::clone(&frames));
            }
            frames
        });
        // A copy for each call is a place to be had for little.
        let bytes = frames
            .iter()
            .map(|frame| ENTRY + (frame.function.len() + frame.file.len()) as u64);
        if self.budget.spend(bytes.sum()) {
            frames.to_vec()
        } else {
            Vec::new()
        }
    }

    /// Bytes that the function at a pc has on the stack there.
    pub fn frame_size(&self, pc: u64) -> Option<u32> {
        self.functions.frame_size(pc).ok().flatten()
    }
}

fn frame(frame: gobinary::Frame) -> Frame {
    Frame {
        function: frame.function,
        file: frame.file,
        line: frame.line,
        inlined: frame.inlined,
    }
}

/// Bytes that a type takes with all its names.
fn size(name: &TypeName) -> u64 {
    let paths = name.integers.iter();
    let paths = paths.map(|integer| size_of::<Integer>() + integer.path.len());
    let names = name.name.len() + name.package.as_ref().map_or(0, String::len);
    ENTRY + (names + paths.sum::<usize>()) as u64
}

/// For the integers of a type.
struct Search<'t, 'a> {
    types: &'t Types<Limited<'a>>,
    /// Types that may still be read.
    left: u32,
    found: Vec<Integer>,
    has_more: bool,
    /// Some of it could not be read.
    unread: bool,
}

impl Search<'_, '_> {
    fn unread(&mut self) {
        (self.unread, self.has_more) = (true, true);
    }

    /// Those of a type that stands at an offset of the object, under this path.
    fn integers(&mut self, of: &Type, path: &str, offset: u64, deeper: u32) {
        let width = match of.kind {
            Kind::Int | Kind::Uint | Kind::Int64 | Kind::Uint64 | Kind::Uintptr => 8,
            Kind::Int32 | Kind::Uint32 => 4,
            Kind::Struct if deeper > 0 => return self.fields(of, path, offset, deeper - 1),
            // A descriptor is none of these.
            Kind::Bool
            | Kind::Int8
            | Kind::Int16
            | Kind::Uint8
            | Kind::Uint16
            | Kind::Float32
            | Kind::Float64
            | Kind::Complex64
            | Kind::Complex128
            | Kind::String => return,
            _ => {
                self.has_more = true;
                return;
            }
        };
        if self.found.len() >= INTEGERS {
            self.has_more = true;
            return;
        }
        self.found.push(Integer {
            path: path.to_owned(),
            offset,
            width,
        });
    }

    fn fields(&mut self, of: &Type, path: &str, offset: u64, deeper: u32) {
        let before = self.found.len();
        let Ok(fields) = self.types.fields(of) else {
            return self.unread();
        };
        for field in fields {
            if self.left == 0 {
                self.has_more = true;
                return;
            }
            self.left -= 1;
            let Ok(field) = field else {
                // Some of the fields would be taken for all of them.
                self.found.truncate(before);
                return self.unread();
            };
            let Ok(ty) = self.types.read(field.ty) else {
                self.unread();
                continue;
            };
            let Some(at) = offset.checked_add(field.offset) else {
                self.has_more = true;
                continue;
            };
            if path.len() + field.name.len() > PATH {
                self.has_more = true;
                continue;
            }
            let path = match path {
                "" => field.name,
                path => format!("{path}.{}", field.name),
            };
            self.integers(&ty, &path, at, deeper);
        }
    }
}

#[cfg(test)]
mod tests;
