//! Names of functions and types, each read once.

use crate::look::{Frame, Integer, TypeName};
use gobinary::{Executable, FunctionTable, Kind, Memory, Type, Types};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Names that are kept at most; more are read each time.
const KEPT: usize = 1 << 16;

/// Types with finalizers that are read at most; real programs have some dozens.
const TYPES: usize = 4096;
/// Integers of a type that are told at most, types that are read to find them, and how deep structs are followed.
const INTEGERS: usize = 64;
const TYPES_OF_FIELDS: u32 = 512;
const NESTED: u32 = 4;
/// Bytes of the names that lead to an integer.
const PATH: usize = 256;

/// What functions and types of a process are called.
pub struct Names<'a> {
    functions: FunctionTable<&'a Executable<'a>>,
    types: Types<&'a dyn Memory>,
    known_functions: FxHashMap<u64, Arc<str>>,
    known_types: FxHashMap<u64, Arc<TypeName>>,
}

impl<'a> Names<'a> {
    /// Nothing read yet.
    pub fn new(functions: FunctionTable<&'a Executable<'a>>, types: Types<&'a dyn Memory>) -> Self {
        Self {
            functions,
            types,
            known_functions: FxHashMap::default(),
            known_types: FxHashMap::default(),
        }
    }

    /// The function that a pc is in; empty if it is no Go code.
    pub fn function(&mut self, pc: u64) -> Arc<str> {
        if let Some(known) = self.known_functions.get(&pc) {
            return Arc::clone(known);
        }
        let function = self.functions.function(pc).ok().flatten();
        let name: Arc<str> = function.map_or_else(|| Arc::from(""), |found| Arc::from(found.name));
        if self.known_functions.len() < KEPT {
            self.known_functions.insert(pc, Arc::clone(&name));
        }
        name
    }

    /// The type whose descriptor stands at an address.
    pub fn type_name(&mut self, addr: u64) -> Arc<TypeName> {
        if let Some(known) = self.known_types.get(&addr) {
            return Arc::clone(known);
        }
        let unread = || {
            Arc::new(TypeName {
                addr,
                name: String::new(),
                package: None,
                integers: Vec::new(),
                has_more: true,
            })
        };
        // What cannot be read now may be of a plugin that is just being loaded: it is not kept.
        if self.known_types.len() >= TYPES {
            return unread();
        }
        let Ok(read) = self.types.read(addr) else {
            return unread();
        };
        let mut search = Search {
            types: &self.types,
            left: TYPES_OF_FIELDS,
            found: Vec::new(),
            has_more: false,
        };
        match read.elem.map(|elem| self.types.read(elem)) {
            Some(Ok(pointed)) => search.integers(&pointed, "", 0, NESTED),
            _ => search.has_more = true,
        }
        let name = Arc::new(TypeName {
            addr,
            name: read.name,
            package: read.package,
            integers: search.found,
            has_more: search.has_more,
        });
        self.known_types.insert(addr, Arc::clone(&name));
        name
    }

    /// The calls at a pc: what was inlined there, then the function.
    pub fn frames(&self, pc: u64) -> Vec<Frame> {
        let frames = self.functions.frames(pc).unwrap_or_default();
        let frame = |frame: gobinary::Frame| Frame {
            function: frame.function,
            file: frame.file,
            line: frame.line,
            inlined: frame.inlined,
        };
        frames.into_iter().map(frame).collect()
    }

    /// Bytes that the function at a pc has on the stack there.
    pub fn frame_size(&self, pc: u64) -> Option<u32> {
        self.functions.frame_size(pc).ok().flatten()
    }

    /// First pc of the function that a pc is in.
    pub fn entry(&self, pc: u64) -> Option<u64> {
        Some(self.functions.function(pc).ok()??.entry)
    }
}

/// For the integers of a type.
struct Search<'t, 'a> {
    types: &'t Types<&'a dyn Memory>,
    /// Types that may still be read.
    left: u32,
    found: Vec<Integer>,
    has_more: bool,
}

impl Search<'_, '_> {
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
        if self.found.len() >= INTEGERS || path.len() > PATH {
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
        let Ok(fields) = self.types.fields(of) else {
            self.has_more = true;
            return;
        };
        for field in fields {
            if self.left == 0 {
                self.has_more = true;
                return;
            }
            self.left -= 1;
            let at = offset.checked_add(field.offset);
            let (Some(at), Ok(ty)) = (at, self.types.read(field.ty)) else {
                self.has_more = true;
                continue;
            };
            let path = match path {
                "" => field.name,
                path => format!("{path}.{}", field.name),
            };
            self.integers(&ty, &path, at, deeper);
        }
    }
}
