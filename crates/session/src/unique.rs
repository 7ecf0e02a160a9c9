//! Lists that hold each thing once.

/// In order, each once.
pub fn unique<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}
