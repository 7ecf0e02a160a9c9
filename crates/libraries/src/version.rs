//! Versions as Go modules and crates write them.

use semver::Version;

/// `v0.9.1`, `0.13.1`, `v0.4.5-libbpf-1.0.1`, `v0.19.1-0.20251015120000-0123456789ab`. `None` for
/// what says nothing, such as `(devel)`.
///
/// ```
/// let parse = libraries::parse_version;
/// assert!(parse("v0.9.1") < parse("v0.20.0"));
/// assert_eq!(parse("(devel)"), None);
/// ```
pub fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    // Go marks what has no go.mod, or was built of changed files.
    let text = text.split('+').next()?;
    Version::parse(text).ok()
}

/// True if it is known to be older than a release. A pseudo-version counts as what it follows:
/// `v0.19.1-0.2025…` stands between v0.19.0 and v0.20.0, and may hold what v0.20.0 changed.
pub(crate) fn is_before(version: Option<&str>, [major, minor, patch]: [u64; 3]) -> bool {
    let release = Version::new(major, minor, patch);
    version.and_then(parse).is_some_and(|v| v < release)
}

/// True if it is known to be that release or newer.
pub(crate) fn is_since(version: Option<&str>, [major, minor, patch]: [u64; 3]) -> bool {
    let release = Version::new(major, minor, patch);
    version.and_then(parse).is_some_and(|v| v >= release)
}

/// It was built between two releases: what it does is that of either.
pub(crate) fn is_between_releases(version: Option<&str>) -> bool {
    version.and_then(parse).is_none_or(|v| {
        // `-0.` or `.0.` and a time of fourteen digits.
        let pre = v.pre.as_str();
        pre.split(['.', '-'])
            .any(|part| part.len() == 14 && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare() {
        assert!(is_before(Some("v0.19.0"), [0, 20, 0]));
        assert!(!is_before(Some("v0.20.0"), [0, 20, 0]));
        assert!(is_since(Some("v0.22.0"), [0, 20, 0]));
        assert!(is_before(Some("v0.4.5-libbpf-1.0.1"), [0, 5, 0]));
        assert!(is_since(Some("v1.2.3+incompatible"), [1, 2, 3]));
        for unknown in [None, Some("(devel)"), Some("")] {
            assert!(!is_before(unknown, [9, 0, 0]) && !is_since(unknown, [0, 0, 0]));
        }
    }

    #[test]
    fn what_was_built_between_releases_is_either() {
        for either in [
            Some("v0.19.1-0.20251015120000-0123456789ab"),
            Some("v0.0.0-20221005120000-16120a1bf4d4"),
            Some("(devel)"),
            None,
        ] {
            assert!(is_between_releases(either), "{either:?}");
        }
        assert!(!is_between_releases(Some("v0.19.0")));
        assert!(!is_between_releases(Some("v0.4.5-libbpf-1.0.1")));
    }
}
