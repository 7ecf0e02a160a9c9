//! Links in `/proc/PID/ns`.

use crate::stat::number;

/// The initial pid namespace's inode: `PROC_PID_INIT_INO` in
/// `include/linux/proc_ns.h`, the same on every kernel.
pub const INITIAL_PID: u64 = 0xEFFF_FFFC;

/// The initial cgroup namespace's: `PROC_CGROUP_INIT_INO` there.
pub const INITIAL_CGROUP: u64 = 0xEFFF_FFFB;

/// The inode number in a link such as `mnt:[4026531841]` (`ns_get_name` in the
/// kernel); `None` if it is not one of that type.
pub fn inode(link: &[u8], type_name: &str) -> Option<u64> {
    let rest = link.strip_prefix(type_name.as_bytes())?;
    number(rest.strip_prefix(b":[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_type() {
        assert_eq!(inode(b"mnt:[4026531841]", "mnt"), Some(4_026_531_841));
        for bad in [
            "mnt:[]", "mnt:[1", "mnt:1]", "pid:[1]", "", "mnt:[-1]", "mnt:[1]]",
        ] {
            assert_eq!(inode(bad.as_bytes(), "mnt"), None, "{bad}");
        }
    }
}
