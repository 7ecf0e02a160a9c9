//! What Go's linker noted about a build (`debug/buildinfo`, `debug.BuildInfo`).

use crate::Executable;
use crate::bytes::{read, text, u64_at};
use crate::error::Error;
use crate::memory::Memory;

/// Bytes of the version at most.
const VERSION: u64 = 1 << 10;
/// Bytes of all the rest at most; 500 dependencies are 50 KiB.
const MODULES: u64 = 4 << 20;

/// What is known of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildInfo {
    /// Go's version as it calls itself: `go1.26.8`, `go1.27.0 X:nogreenteagc`, `devel go1.28-…`.
    pub go: String,
    /// Path of the main package.
    pub path: Option<String>,
    /// The module it is in; none of a build without modules.
    pub main: Option<MainModule>,
    /// The modules that it was built from.
    pub deps: Vec<Dependency>,
    /// How it was built: `-buildmode`, `CGO_ENABLED`, `GOARCH`, `vcs.revision` …
    pub settings: Vec<(String, String)>,
}

/// The main module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MainModule {
    /// Its path.
    pub path: String,
    /// Its version; `(devel)` of a build in its own tree.
    pub version: String,
}

/// A module that a program was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The path that is imported.
    pub path: String,
    /// The version that is required.
    pub version: String,
    /// Path and version of what was built in its stead (`replace`). A path in a file system has no version.
    pub replaced_by: Option<(String, Option<String>)>,
}

impl Dependency {
    /// Path and version of the code that was built. No version: a tree in a file system.
    pub fn built(&self) -> (&str, Option<&str>) {
        match &self.replaced_by {
            Some((path, version)) => (path, version.as_deref()),
            None => (&self.path, Some(&self.version)),
        }
    }
}

impl BuildInfo {
    /// The minor release: 26 of `go1.26.8`. `None` if it is not Go 1.
    pub fn minor(&self) -> Option<u16> {
        let numbers = self.go.split("go1.").nth(1)?;
        let end = numbers
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(numbers.len());
        numbers[..end].parse().ok()
    }

    /// The experiments of the toolchain: `nogreenteagc` of `go1.26.1-X:nogreenteagc` (up to Go 1.25, with a
    /// space).
    pub fn experiments(&self) -> impl Iterator<Item = &str> {
        let list = self.go.split_once("X:").map_or("", |(_, list)| list);
        let list = list.split_whitespace().next().unwrap_or("");
        list.split(',').filter(|e| !e.is_empty())
    }

    /// A setting's value.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    /// Takes what follows the version: lines of words with tabs between them.
    fn take(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split('\t');
            match (words.next(), words.next(), words.next()) {
                (Some("path"), Some(path), _) => self.path = Some(path.to_owned()),
                (Some("mod"), Some(path), version) => {
                    self.main = Some(MainModule {
                        path: path.to_owned(),
                        version: version.unwrap_or("").to_owned(),
                    });
                }
                (Some("dep"), Some(path), version) => self.deps.push(Dependency {
                    path: path.to_owned(),
                    version: version.unwrap_or("").to_owned(),
                    replaced_by: None,
                }),
                // It stands in the stead of the module of the line before.
                (Some("=>"), Some(path), version) => {
                    let version = version.filter(|v| !v.is_empty() && *v != "(devel)");
                    let version = version.map(str::to_owned);
                    if let Some(dep) = self.deps.last_mut() {
                        dep.replaced_by = Some((path.to_owned(), version));
                    }
                }
                (Some("build"), Some(setting), None) => {
                    self.settings.extend(parse_setting(setting));
                }
                _ => {}
            }
        }
    }
}

/// `key=value`, both quoted as Go quotes strings if they hold what could be mistaken (`debug.quoteKey`).
fn parse_setting(text: &str) -> Option<(String, String)> {
    let split = match text.strip_prefix('"') {
        Some(rest) => rest.find('"')? + 2,
        None => text.find('=')?,
    };
    let (key, value) = text.split_at_checked(split)?;
    Some((unquote(key), unquote(value.strip_prefix('=')?)))
}

/// A string of Go without its quotes. Escapes that are not of a single byte stay as they are.
fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.trim_matches('`').to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(c @ ('"' | '\\')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

impl Executable<'_> {
    /// Reads what is known of the build. It is read of any release since Go 1.13, so that one that is too old
    /// can be named.
    pub fn build_info(&self) -> Result<BuildInfo, Error> {
        let not_there = || {
            if self.is_go() {
                Error::Missing("build info")
            } else {
                Error::NotGo
            }
        };
        let addr = self.build_info_addr().ok_or_else(not_there)?;
        let head: [u8; 32] = read(self, addr)?;
        // Magic (14 bytes), size of a pointer, flags. Flag 2: strings follow, each after its length.
        let (version, modules) = if head[15] & 2 != 0 {
            let (version, behind) = self.inline_text(addr.wrapping_add(32), VERSION)?;
            (version, self.inline_text(behind, MODULES)?.0)
        } else {
            // Up to 1.17: pointers to Go strings. Flag 1 would be big-endian.
            if head[14] != 8 || head[15] & 1 != 0 {
                return Err(malformed(addr));
            }
            let at = |offset| u64_at(&head, offset).unwrap_or(0);
            let version = self.string_at(at(16), VERSION)?;
            (version, self.string_at(at(24), MODULES).unwrap_or_default())
        };
        if version.is_empty() {
            return Err(malformed(addr));
        }
        let mut info = BuildInfo {
            go: text(version),
            ..BuildInfo::default()
        };
        // 16 bytes before and behind are marks of the go command (`modload.infoStart`, `infoEnd`).
        if modules.len() >= 33 && modules[modules.len() - 17] == b'\n' {
            info.take(&text(modules[16..modules.len() - 16].to_vec()));
        }
        Ok(info)
    }

    /// Bytes after their length in base 128, and the address behind them.
    fn inline_text(&self, addr: u64, limit: u64) -> Result<(Vec<u8>, u64), Error> {
        let mut at = addr;
        let mut len = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = read(self, at)?;
            at = at.wrapping_add(1);
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((self.limited(at, len, limit)?, at.saturating_add(len)));
            }
        }
        Err(malformed(addr))
    }

    /// The bytes of the Go string whose header stands at an address.
    fn string_at(&self, addr: u64, limit: u64) -> Result<Vec<u8>, Error> {
        let mut head = [0; 16];
        self.read_relocated(addr, &mut head)?;
        let at = |offset| u64_at(&head, offset).unwrap_or(0);
        self.limited(at(0), at(8), limit)
    }

    fn limited(&self, addr: u64, len: u64, limit: u64) -> Result<Vec<u8>, Error> {
        if len > limit {
            return Err(Error::TooMuch {
                what: "bytes of build info",
                limit,
            });
        }
        let mut bytes = vec![0; len as usize];
        self.read(addr, &mut bytes)?;
        Ok(bytes)
    }
}

fn malformed(addr: u64) -> Error {
    Error::Malformed {
        what: "build info",
        addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "path\tgithub.com/acme/agent/cmd/agent\n\
        mod\tgithub.com/acme/agent\tv1.2.3\th1:abc=\n\
        dep\tgithub.com/cilium/ebpf\tv0.16.0\n\
        =>\tgithub.com/acme/ebpf\tv0.16.1-fork\th1:def=\n\
        dep\tgolang.org/x/sys\tv0.20.0\th1:ghi=\n\
        build\t-ldflags=\"-s -w -X main.v=\\\"1\\\"\"\n\
        build\tCGO_ENABLED=1\nbuild\tvcs.modified=true\nbuild\t\"odd=key\"=v\nbuild\tnothing\n";

    #[test]
    fn modules_and_settings() {
        let mut info = BuildInfo::default();
        info.take(TEXT);
        let main = info
            .main
            .as_ref()
            .map(|m| (m.path.as_str(), m.version.as_str()));
        assert_eq!(main, Some(("github.com/acme/agent", "v1.2.3")));
        let built: Vec<_> = info.deps.iter().map(Dependency::built).collect();
        let fork = ("github.com/acme/ebpf", Some("v0.16.1-fork"));
        assert_eq!(built, [fork, ("golang.org/x/sys", Some("v0.20.0"))]);
        assert_eq!(info.deps[0].path, "github.com/cilium/ebpf");
        assert_eq!(info.setting("-ldflags"), Some("-s -w -X main.v=\"1\""));
        assert_eq!(info.setting("CGO_ENABLED"), Some("1"));
        assert_eq!(info.setting("odd=key"), Some("v"));
        assert_eq!(info.settings.len(), 4);
    }

    #[test]
    fn releases_and_experiments() {
        let of = |go: &str| {
            let go = go.to_owned();
            let info = BuildInfo {
                go,
                ..BuildInfo::default()
            };
            let experiments: Vec<String> = info.experiments().map(str::to_owned).collect();
            (info.minor(), experiments.join(" "))
        };
        assert_eq!(of("go1.26.8"), (Some(26), String::new()));
        assert_eq!(of("go1.18"), (Some(18), String::new()));
        assert_eq!(
            of("go1.26.1-X:nogreenteagc"),
            (Some(26), "nogreenteagc".to_owned())
        );
        assert_eq!(
            of("go1.24.3 X:noswissmap,arenas"),
            (Some(24), "noswissmap arenas".to_owned())
        );
        assert_eq!(of("devel go1.28-abc Tue Nov 3"), (Some(28), String::new()));
        assert_eq!(of("go1.27rc1"), (Some(27), String::new()));
        assert_eq!(of("go2"), (None, String::new()));
        assert_eq!(of(""), (None, String::new()));
    }
}
