//! Files that a descriptor table has, and something else too: a message in flight, the table of
//! an `io_uring`. Their accounts close without it, so no remainder asks for a look at what has
//! them besides. But whoever closes the descriptors must know that the file stays.

use crate::details;
use kernel::holders::files::{Files, SharedFile};
use kernel::{Addr, Objects};
use ledger::Ledger;

/// Files that something has besides the descriptors. Mappings of a map are no reason: nearly
/// every reader of a ring buffer has some, and a look at them costs each process its
/// `mmap_lock`.
pub fn suspects(files: &Files, objects: &Objects, ledger: &Ledger) -> Vec<Addr> {
    let shared = files.shared.iter();
    let mut elsewhere: Vec<_> = shared.filter(|(_, file)| file.is_elsewhere()).collect();
    // On most hosts there are none, and no ids are wanted.
    if !elsewhere.is_empty() {
        let ids = details::ids(objects);
        elsewhere.retain(|(_, file)| {
            let object = ids.get(&file.object).and_then(|&id| ledger.get(id));
            !object.is_some_and(|object| ledger::can_be_mapped(&object.facts))
        });
    }
    elsewhere.into_iter().map(|(&file, _)| file).collect()
}

/// One of them still is, in another walk. A call that uses a file has it too, for microseconds.
pub fn any_remains(suspects: &[Addr], again: &Files) -> bool {
    let mut again = suspects.iter().filter_map(|file| again.shared.get(file));
    again.any(SharedFile::is_elsewhere)
}
