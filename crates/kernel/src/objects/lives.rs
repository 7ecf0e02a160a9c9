//! Whether an object is still there.

use crate::sys;
use model::{Kind, ObjectId};
use std::io;

/// There is an object with this id. Asks for the next id after the one below it (`bpf_obj_get_next_id`), which opens nothing
/// and takes no reference that lasts.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`; for links before 5.8.
pub fn lives(object: ObjectId) -> io::Result<bool> {
    let Some(below) = object.id.checked_sub(1) else {
        return Ok(false);
    };
    let next = match object.kind {
        Kind::Map => sys::map_next_id(below),
        Kind::Prog => sys::prog_next_id(below),
        Kind::Link => sys::link_next_id(below),
        Kind::Btf => sys::btf_next_id(below),
    };
    Ok(next? == Some(object.id))
}
