//! Maps, and what stands in their slots.

use super::{Kind, Object, bpf, bpf_fd, short_name};
use crate::btf;
use crate::sys::Result;
use std::os::fd::AsRawFd;

/// `enum bpf_map_type`
#[allow(missing_docs)]
pub mod map_type {
    pub const HASH: u32 = 1;
    pub const ARRAY: u32 = 2;
    pub const PROG_ARRAY: u32 = 3;
    pub const ARRAY_OF_MAPS: u32 = 12;
    pub const HASH_OF_MAPS: u32 = 13;
    pub const DEVMAP: u32 = 14;
    pub const SOCKMAP: u32 = 15;
    pub const CPUMAP: u32 = 16;
    pub const XSKMAP: u32 = 17;
    pub const DEVMAP_HASH: u32 = 25;
    pub const STRUCT_OPS: u32 = 26;
    pub const RINGBUF: u32 = 27;
}

/// Map flag: elements are allocated as they come.
pub const F_NO_PREALLOC: u32 = 1;
/// Map flag: an array that may be mapped into memory.
pub const F_MMAPABLE: u32 = 1 << 10;

/// Map flag: a `struct_ops` map that is registered by a link.
pub const F_LINK: u32 = 1 << 13;

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;

/// What a map is made of.
#[repr(C)]
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct MapSpec {
    /// [`map_type`]
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `BPF_F_…`
    pub flags: u32,
    /// Template of the inner maps.
    pub inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
    ifindex: u32,
    /// Descriptor of the BTF that describes key and value.
    pub btf_fd: u32,
    /// Type id of the key in it.
    pub btf_key_type_id: u32,
    /// Type id of the value in it.
    pub btf_value_type_id: u32,
    /// Type id of the value in the kernel's own BTF, for `struct_ops`.
    pub btf_vmlinux_value_type_id: u32,
}

impl MapSpec {
    /// A map of four-byte keys and values with room for eight.
    pub fn new(map_type: u32, name: &str) -> Self {
        Self {
            map_type,
            key_size: 4,
            value_size: 4,
            max_entries: 8,
            name: short_name(name.as_bytes()),
            ..Self::default()
        }
    }

    /// With `BPF_F_…` flags.
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags |= flags;
        self
    }

    /// With a template for the inner maps.
    pub fn inner(mut self, template: &Object) -> Self {
        self.inner_map_fd = template.fd();
        self
    }

    /// With the types of [`btf::blob`].
    pub fn btf(mut self, btf: &Object) -> Self {
        self.btf_fd = btf.fd();
        self.btf_key_type_id = btf::INT;
        self.btf_value_type_id = btf::VALUE;
        self
    }

    /// `BPF_MAP_CREATE`
    pub fn create(&self) -> Result<Object> {
        let fd = bpf_fd(MAP_CREATE, &mut self.clone(), "BPF_MAP_CREATE")?;
        Object::from_fd(Kind::Map, fd)
    }
}

/// A small hash map.
pub fn hash(name: &str) -> Result<Object> {
    MapSpec::new(map_type::HASH, name).create()
}

/// A small array that may be mapped.
pub fn mmapable_array(name: &str) -> Result<Object> {
    MapSpec::new(map_type::ARRAY, name)
        .flags(F_MMAPABLE)
        .create()
}

/// A program array with eight slots.
pub fn prog_array(name: &str) -> Result<Object> {
    MapSpec::new(map_type::PROG_ARRAY, name).create()
}

/// A ring buffer of one page.
pub fn ringbuf(name: &str) -> Result<Object> {
    let mut spec = MapSpec::new(map_type::RINGBUF, name);
    (spec.key_size, spec.value_size, spec.max_entries) = (0, 0, 4096);
    spec.create()
}

/// An outer map of `map_type` whose slots take maps like `template`.
pub fn outer(map_type: u32, name: &str, flags: u32, template: &Object) -> Result<Object> {
    MapSpec::new(map_type, name)
        .flags(flags)
        .inner(template)
        .create()
}

#[repr(C)]
struct Elem {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Puts an object's descriptor into slot `key` of an outer map or program array.
pub fn put(map: &Object, key: u32, object: &impl AsRawFd) -> Result<()> {
    put_bytes(map, key, &object.as_raw_fd().to_ne_bytes())
}

/// Sets the value of `key`. It must have the map's value size.
pub fn put_bytes(map: &Object, key: u32, value: &[u8]) -> Result<()> {
    let mut attr = Elem {
        map_fd: map.fd(),
        pad: 0,
        key: std::ptr::from_ref(&key) as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    bpf(MAP_UPDATE_ELEM, &mut attr, "BPF_MAP_UPDATE_ELEM").map(drop)
}

/// Sets an entry of a devmap (a device) or cpumap (a queue's size), and the program
/// that is to run there: `struct bpf_devmap_val`, `struct bpf_cpumap_val`.
pub fn put_with_prog(map: &Object, key: u32, value: u32, prog: &Object) -> Result<()> {
    let value = [value, prog.fd()].map(u32::to_ne_bytes).concat();
    put_bytes(map, key, &value)
}

/// Empties slot `key`.
pub fn take_out(map: &Object, key: u32) -> Result<()> {
    let mut attr = Elem {
        map_fd: map.fd(),
        pad: 0,
        key: std::ptr::from_ref(&key) as u64,
        value: 0,
        flags: 0,
    };
    bpf(MAP_DELETE_ELEM, &mut attr, "BPF_MAP_DELETE_ELEM").map(drop)
}
