//! How a scenario is built, where that is not as always.

use std::borrow::Cow;

/// What a scenario is built with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// One of the scenario's modules; the first if none is named.
    pub module: Option<String>,
    /// A release of Go, `1.24.6`; the machine's if none is named.
    pub go: Option<String>,
    /// Further words for `go build`, `-ldflags=-s -w`, and variables of its environment,
    /// `GOEXPERIMENT=nogreenteagc`.
    pub flags: Vec<String>,
}

impl Build {
    /// Those that are words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let flags = self.flags.iter().map(String::as_str);
        flags.filter(|flag| variable(flag).is_none())
    }

    /// Those that are variables, with their values.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.flags.iter().filter_map(|flag| variable(flag))
    }
}

fn variable(flag: &str) -> Option<(&str, &str)> {
    flag.split_once('=').filter(|_| !flag.starts_with('-'))
}

/// A go.mod whose `go` line is none that a release is too old for. What a module's libraries take
/// is said by their own files, and still holds.
pub fn with_go_line<'a>(content: &'a [u8], release: Option<&str>) -> Cow<'a, [u8]> {
    let changed = || {
        let minor = minor(release?)?;
        let text = std::str::from_utf8(content).ok()?;
        let is_newer = |line: &str| {
            let version = line.strip_prefix("go ")?;
            Some(self::minor(version.trim())? > minor)
        };
        let lines = text.split_inclusive('\n').map(|line| match is_newer(line) {
            Some(true) => format!("go 1.{minor}\n"),
            Some(false) | None => line.to_owned(),
        });
        Some(lines.collect::<String>().into_bytes())
    };
    changed().map_or(Cow::Borrowed(content), Cow::Owned)
}

/// `24` of `1.24.6`.
fn minor(release: &str) -> Option<u32> {
    release.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_variables_are_told_apart() {
        let flags = ["-ldflags=-s -w", "GOEXPERIMENT=greenteagc", "-race"];
        let build = Build {
            flags: flags.map(str::to_owned).to_vec(),
            ..Build::default()
        };
        assert!(build.words().eq(["-ldflags=-s -w", "-race"]));
        assert!(build.variables().eq([("GOEXPERIMENT", "greenteagc")]));
    }

    #[test]
    fn a_go_line_fits_the_release() {
        let module = b"module scenario\n\ngo 1.23.0\n\nrequire x v1.2.3\n";
        let with = |release| String::from_utf8(with_go_line(module, release).into_owned());
        let same = String::from_utf8(module.to_vec());
        assert_eq!(with(None), same);
        assert_eq!(with(Some("1.23.12")), same);
        assert_eq!(with(Some("1.27.3")), same);
        let older = with(Some("1.21.13")).expect("it is text");
        assert_eq!(older, "module scenario\n\ngo 1.21\n\nrequire x v1.2.3\n");
        assert_eq!(with(Some("tip")), same);
    }
}
