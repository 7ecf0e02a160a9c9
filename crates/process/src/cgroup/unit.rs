//! Which systemd unit a cgroup's path names.

use super::container;

/// Units that processes are started in.
const LEAVES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// The innermost service, scope, socket, mount or swap unit that is not a
/// container's scope; outside containers, else the innermost slice.
///
/// So a user's unit comes before the `user@1000.service` it runs under; a unit
/// inside a container (which then runs a systemd of its own) before one outside,
/// and a container started by a unit has that unit.
///
/// The name stays as it is, `\x2d` and all: that is how `systemctl` knows it.
/// Only the underscore is taken off that systemd puts before a name that would
/// clash with a file of the cgroup (`cg_escape`).
pub(super) fn find(components: &[&str], in_container: bool) -> Option<String> {
    let is_leaf = |&index: &usize| {
        LEAVES
            .iter()
            .any(|suffix| has_suffix(components[index], suffix))
            && !(has_suffix(components[index], ".scope")
                && container::identify(components, index).is_some())
    };
    let leaf = (0..components.len())
        .rev()
        .find(is_leaf)
        .map(|index| components[index]);
    let slice = || {
        components
            .iter()
            .rev()
            .copied()
            .find(|name| has_suffix(name, ".slice"))
    };
    let name = if in_container {
        leaf
    } else {
        leaf.or_else(slice)
    }?;
    Some(name.strip_prefix('_').unwrap_or(name).to_owned())
}

/// Ends so, and has something before it. Units' names tell upper from lower case.
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}
