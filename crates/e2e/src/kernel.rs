//! The running kernel.

/// Major and minor of `uname -r`. One that is not understood counts as the
/// newest, so that no impossibility is believed because of it.
pub fn version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    parse(&release).unwrap_or((u32::MAX, 0))
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_understood() {
        assert_eq!(parse("6.1.0-44-cloud-amd64\n"), Some((6, 1)));
        assert_eq!(parse("6.18.44"), Some((6, 18)));
        assert_eq!(parse("six"), None);
    }
}
