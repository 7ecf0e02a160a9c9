//! Where a descriptor stands in Go objects of each type.

use goheap::{Integer, TypeName};
use libraries::{Library, Stands};

/// Bytes of objects of types that are not known: what stands behind them is not looked at.
const FIRST: u64 = 256;
/// What a field that holds a descriptor is called, without the structs around it, in small letters.
const NAMES: [&str; 6] = ["fd", "rawfd", "sysfd", "mapfd", "progfd", "linkfd"];

/// How many bytes of an object tell which descriptor it owns, or may own.
pub fn bytes_wanted(name: &TypeName, libraries: &[Library]) -> u64 {
    match place(name, libraries) {
        Place::At(offset, width) => offset + width,
        Place::Nowhere => 0,
        Place::Perhaps => {
            let ends = integers(name).map(|integer| integer.offset + integer.width);
            ends.max().unwrap_or(0)
        }
    }
}

/// Where a descriptor stands in objects of a type.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// Offset and width.
    At(u64, u64),
    /// They own none.
    Nowhere,
    /// The type is not known, and no one field of it is called like a descriptor.
    Perhaps,
}

/// By the table of libraries; of a type that is not in it, by the name of its field. It has a finalizer, so it owns
/// something.
pub fn place(pointer: &TypeName, libraries: &[Library]) -> Place {
    let package = pointer.package.as_deref().unwrap_or_default();
    if let Some(known) = libraries::owner(&pointer.name, package, version(package, libraries)) {
        let place = descriptor(known.stands);
        return place.map_or(Place::Nowhere, |(offset, width)| Place::At(offset, width));
    }
    let is_called = |integer: &&Integer| {
        let name = integer.path.rsplit('.').next().unwrap_or_default();
        NAMES.contains(&name.to_ascii_lowercase().as_str())
    };
    let mut called = integers(pointer).filter(is_called);
    match (called.next(), called.next()) {
        (Some(one), None) => Place::At(one.offset, one.width),
        _ => Place::Perhaps,
    }
}

pub fn integers(pointer: &TypeName) -> impl Iterator<Item = &Integer> {
    let all = pointer.integers.iter();
    all.filter(|integer| integer.offset.saturating_add(integer.width) <= FIRST)
}

pub fn descriptor(stands: Stands) -> Option<(u64, u64)> {
    match stands {
        Stands::Descriptor { offset, width } => Some((offset, width)),
        Stands::Mapping | Stands::Other => None,
    }
}

/// Of the module that a package belongs to.
fn version<'l>(package: &str, libraries: &'l [Library]) -> Option<&'l str> {
    let of = |library: &&Library| {
        let rest = package.strip_prefix(library.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    libraries.iter().find(of)?.version.as_deref()
}

/// Go's own packages. Nothing of theirs owns a BPF descriptor but what is known.
pub fn is_standard(path: &str) -> bool {
    const FIRST: [&str; 22] = [
        "bufio", "bytes", "compress", "context", "crypto", "database", "encoding", "internal",
        "io", "iter", "log", "net", "os", "plugin", "reflect", "runtime", "sync", "syscall",
        "testing", "time", "unique", "weak",
    ];
    // Of a function, its name follows the package.
    let first = path.split(['/', '.', '[']).next().unwrap_or_default();
    let is_host = path
        .split('/')
        .next()
        .is_some_and(|part| part.len() > first.len())
        && path.contains('/');
    FIRST.contains(&first) && !is_host
}
