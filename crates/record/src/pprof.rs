//! A heap profile of a Go program, as `runtime/pprof` writes it: a protobuf message
//! (`proto/profile.proto` of github.com/google/pprof), packed with gzip or not.
//!
//! The bytes come from anybody. They are read in time and memory that the limits here bound,
//! and what cannot be read is an error that says what to do.

mod error;
mod open;
mod stacks;
mod tables;
mod wire;

pub use error::ProfileError;

use model::Site;
use tables::Tables;

/// The largest file that is read, packed or not.
pub const MAX_PROFILE_BYTES: usize = 64 << 20;
/// The largest profile that is read, unpacked. Profiles of large programs have a few MiB.
pub const MAX_UNPACKED_BYTES: usize = 256 << 20;

/// What was in use, by who allocated it.
///
/// The runtime publishes allocations only when collections have also counted what was freed
/// (`runtime/mprof.go`, `memRecordCycle`): it is up to two collections old, and what was
/// allocated since is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapProfile {
    /// Bytes of allocation a sample (`runtime.MemProfileRate`). Up to 1: everything was counted;
    /// above: the numbers are estimates, scaled by who wrote them. `None`: not said, as by a
    /// program that does not profile.
    pub sample_rate: Option<u64>,
    /// When it was taken: nanoseconds since 1970, UTC.
    pub taken: Option<i64>,
    /// The program, by the path it saw itself.
    pub executable: Option<String>,
    /// The GNU build id of the program.
    pub build_id: Option<String>,
    /// All objects in use.
    pub in_use_objects: u64,
    /// All bytes in use.
    pub in_use_bytes: u64,
    /// Who allocated them: no two have the same site, none is empty; the most bytes first.
    pub stacks: Vec<ProfiledStack>,
}

/// What is in use of what one stack allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfiledStack {
    /// Objects in use.
    pub in_use_objects: u64,
    /// Bytes in use.
    pub in_use_bytes: u64,
    /// The stack. The runtime's own innermost frames are not in it (`writeHeapProto`); a frame
    /// without a name has its address for one. Not complete if frames have no name, or if it is
    /// so deep that the runtime may have cut it.
    pub site: Site,
}

/// Reads a heap profile.
pub fn heap_profile(bytes: &[u8]) -> Result<HeapProfile, ProfileError> {
    let bytes = open::unpacked(bytes)?;
    let tables = Tables::read(&bytes)?;
    let columns = tables.columns()?;
    if tables.duration_nanos != 0 {
        return Err(ProfileError::Difference);
    }
    let counted = stacks::count(&bytes, &tables, columns)?;
    let (in_use_objects, in_use_bytes) = (counted.objects, counted.bytes);
    Ok(HeapProfile {
        sample_rate: tables.sample_rate()?,
        taken: (tables.time_nanos != 0).then_some(tables.time_nanos),
        executable: tables.executable()?,
        build_id: tables.build_id()?,
        in_use_objects,
        in_use_bytes,
        stacks: counted.stacks()?,
    })
}
