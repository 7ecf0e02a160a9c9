//! What a type descriptor says (`internal/abi.Type`, up to Go 1.20 `runtime._type`). It is the same in all releases
//! that we read, but for flags.

mod fields;
mod kind;
mod name;

pub use fields::Field;
pub use kind::Kind;

use crate::bytes::{read, read_u32, read_u64, u32_at, u64_at};
use crate::error::Error;
use crate::memory::Memory;
use crate::modules::{Module, Span};

/// Pointers to pointers that are followed for a package or a name.
const DEPTH: usize = 8;

/// `TFlagUncommon`: more stands behind the descriptor.
const UNCOMMON: u8 = 1;
/// `TFlagExtraStar`: the name has a star too many in front.
const EXTRA_STAR: u8 = 2;
/// `TFlagNamed`.
const NAMED: u8 = 4;
/// `TFlagGCMaskOnDemand`, from Go 1.24 on.
const MASK_ON_DEMAND: u8 = 16;

/// The types of a process.
#[derive(Debug)]
pub struct Types<M> {
    memory: M,
    /// Of each module. Names are counted from the start of the one that the type is in.
    spans: Vec<Span>,
    minor: u16,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Where its descriptor stands.
    pub addr: u64,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a value.
    pub size: u64,
    /// Bytes from the start of a value up to the end of its last pointer.
    pub ptr_bytes: u64,
    /// As Go prints it: `*sys.FD`.
    pub name: String,
    /// Path of the package that a named type is from; of a pointer, that of what it points to. Not of maps.
    pub package: Option<String>,
    /// It has a name of its own.
    pub named: bool,
    /// What it points to or holds: of arrays, channels, maps (the value), pointers and slices.
    pub elem: Option<u64>,
    /// Which words of a value are pointers: address of a bit mask.
    pub gc_data: u64,
    /// `gc_data` is where the address of the mask will stand, once the runtime has made it.
    pub mask_on_demand: bool,
}

impl Type {
    /// The name with the whole path of its package: `*github.com/cilium/ebpf/internal/sys.FD`.
    pub fn full_name(&self) -> String {
        let stars = self.name.len() - self.name.trim_start_matches('*').len();
        let dot = self
            .name
            .find(['.', '[', '{', '(', ' '])
            .filter(|&i| self.name[i..].starts_with('.'));
        match (&self.package, dot) {
            (Some(package), Some(dot)) => {
                format!("{}{package}{}", &self.name[..stars], &self.name[dot..])
            }
            _ => self.name.clone(),
        }
    }
}

impl<M: Memory> Types<M> {
    /// The types of a process of Go 1.`minor` with these modules.
    pub fn new(memory: M, modules: &[Module], minor: u16) -> Self {
        Self {
            memory,
            spans: modules.iter().map(|m| m.types).collect(),
            minor,
        }
    }

    /// Whether an address is where the linker put types. Those that a program makes when it runs (`reflect.PtrTo`)
    /// are in its heap.
    pub fn contains(&self, addr: u64) -> bool {
        self.span(addr).is_some()
    }

    /// Reads the type whose descriptor stands at an address.
    pub fn read(&self, addr: u64) -> Result<Type, Error> {
        self.read_to(addr, DEPTH)
    }

    fn read_to(&self, addr: u64, depth: usize) -> Result<Type, Error> {
        let malformed = || Error::Malformed {
            what: "a type",
            addr,
        };
        if addr == 0 || !addr.is_multiple_of(8) {
            return Err(malformed());
        }
        // Size, PtrBytes, Hash, TFlag, Align, FieldAlign, Kind, Equal, GCData, Str, PtrToThis.
        let bytes: [u8; 48] = read(&self.memory, addr)?;
        let word = |offset| u64_at(&bytes, offset).ok_or_else(malformed);
        let kind = Kind::of(bytes[23]).ok_or_else(malformed)?;
        let (size, ptr_bytes, flags) = (word(0)?, word(8)?, bytes[20]);
        if ptr_bytes > size || bytes[21] == 0 || (kind == Kind::Pointer && size != 8) {
            return Err(malformed());
        }
        let elem = match kind.elem() {
            Some(offset) => Some(read_u64(&self.memory, addr.wrapping_add(offset))?),
            None => None,
        };
        let pointee = match elem {
            Some(elem) if kind == Kind::Pointer && depth > 0 => self.read_to(elem, depth - 1).ok(),
            _ => None,
        };
        let name = match self.span(addr) {
            Some(span) => self.type_name(span, u32_at(&bytes, 40).ok_or_else(malformed)?, flags)?,
            // Made when the program ran: its name is not counted from where types are.
            None => match &pointee {
                Some(pointee) => format!("*{}", pointee.name),
                None => return Err(malformed()),
            },
        };
        let package = match pointee {
            Some(pointee) => pointee.package,
            None => self.package(addr, kind, flags)?,
        };
        Ok(Type {
            addr,
            kind,
            size,
            ptr_bytes,
            name,
            package,
            named: flags & NAMED != 0,
            elem,
            gc_data: word(32)?,
            mask_on_demand: self.minor >= 24 && flags & MASK_ON_DEMAND != 0,
        })
    }

    fn type_name(&self, span: Span, offset: u32, flags: u8) -> Result<String, Error> {
        let name = name::read(&self.memory, address(span, offset)?, name::TYPE)?.text;
        Ok(match name.strip_prefix('*') {
            Some(rest) if flags & EXTRA_STAR != 0 => rest.to_owned(),
            _ => name,
        })
    }

    /// Path of the package of a type that has a name.
    fn package(&self, addr: u64, kind: Kind, flags: u8) -> Result<Option<String>, Error> {
        if flags & UNCOMMON == 0 {
            return Ok(None);
        }
        let (Some(span), Some(behind)) = (self.span(addr), kind.descriptor()) else {
            return Ok(None);
        };
        // abi.UncommonType: PkgPath is first.
        match read_u32(&self.memory, addr.wrapping_add(behind))? {
            0 => Ok(None),
            offset => {
                let path = name::read(&self.memory, address(span, offset)?, name::SHORT)?.text;
                Ok((!path.is_empty()).then_some(path))
            }
        }
    }

    fn span(&self, addr: u64) -> Option<Span> {
        self.spans.iter().find(|s| s.contains(addr)).copied()
    }
}

/// The address of an offset from where the types of a module begin.
fn address(span: Span, offset: u32) -> Result<u64, Error> {
    let addr = span.start.wrapping_add(offset.into());
    if offset == 0 || !span.contains(addr) {
        return Err(Error::Malformed {
            what: "the name of a type",
            addr,
        });
    }
    Ok(addr)
}
