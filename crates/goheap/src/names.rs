//! Names of functions and types, each read once.

use crate::look::{Frame, Integer, TypeName};
use gobinary::{Executable, FunctionTable, Kind, Memory, Type, Types};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Names that are kept at most; more are read each time.
const KEPT: usize = 1 << 16;

/// Integers of a type that are told at most, types that are read to find them, and how deep structs are followed.
const INTEGERS: usize = 64;
const TYPES_OF_FIELDS: u32 = 512;
const NESTED: u32 = 4;

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
        let read = self.types.read(addr).ok();
        let mut integers = Vec::new();
        if let Some(elem) = read.as_ref().and_then(|found| found.elem)
            && let Ok(pointed) = self.types.read(elem)
        {
            let mut search = Search {
                types: &self.types,
                left: TYPES_OF_FIELDS,
                found: &mut integers,
            };
            search.integers(&pointed, "", 0, NESTED);
        }
        let (name, package) =
            read.map_or_else(Default::default, |found| (found.name, found.package));
        let name = Arc::new(TypeName {
            addr,
            name,
            package,
            integers,
        });
        if self.known_types.len() < KEPT {
            self.known_types.insert(addr, Arc::clone(&name));
        }
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
    found: &'t mut Vec<Integer>,
}

impl Search<'_, '_> {
    /// Those of a type that stands at an offset of the object, under this path.
    fn integers(&mut self, of: &Type, path: &str, offset: u64, deeper: u32) {
        let width = match of.kind {
            Kind::Int | Kind::Uint | Kind::Int64 | Kind::Uint64 | Kind::Uintptr => 8,
            Kind::Int32 | Kind::Uint32 => 4,
            Kind::Struct if deeper > 0 => return self.fields(of, path, offset, deeper - 1),
            _ => return,
        };
        if self.found.len() < INTEGERS {
            self.found.push(Integer {
                path: path.to_owned(),
                offset,
                width,
            });
        }
    }

    fn fields(&mut self, of: &Type, path: &str, offset: u64, deeper: u32) {
        for field in self.types.fields(of).unwrap_or_default() {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let at = offset.checked_add(field.offset);
            let (Some(at), Ok(ty)) = (at, self.types.read(field.ty)) else {
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
