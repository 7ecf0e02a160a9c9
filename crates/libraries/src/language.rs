//! What a program without Go's runtime is written in, as far as it shows.

use memchr::memmem;

/// A programming language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// C, as it seems: C's library, and nothing that shows another.
    C,
    /// It has a library of C++ mapped.
    Cpp,
    /// It has the paths that Rust's library writes into messages.
    Rust,
    /// It is Python's interpreter, or has it mapped.
    Python,
    /// Nothing shows.
    Unknown,
}

impl Language {
    /// As in JSON; `None` if nothing shows.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::C => Some("c"),
            Self::Cpp => Some("c++"),
            Self::Rust => Some("rust"),
            Self::Python => Some("python"),
            Self::Unknown => None,
        }
    }
}

/// The language of a program that is not Go: of its executable's path, the files that it has
/// mapped, and the bytes of its read-only data (where Rust's `panic` locations are).
pub fn language<'a>(
    exe: Option<&str>,
    mapped: impl IntoIterator<Item = &'a str>,
    read_only_data: &[u8],
) -> Language {
    let name = exe.map_or("", file_name);
    let (mut cpp, mut c) = (false, false);
    let mut python = is_python(name);
    for file in mapped.into_iter().map(file_name) {
        python |= file.starts_with("libpython");
        cpp |= file.starts_with("libstdc++.so") || file.starts_with("libc++.so");
        c |= file.starts_with("libc.so") || file.starts_with("ld-musl-");
    }
    if python {
        Language::Python
    } else if memmem::find(read_only_data, b"/rustc/").is_some_and(|at| {
        // `/rustc/`, the hash of the compiler's commit, `/library/…`
        let hash = read_only_data.get(at + 7..at + 47);
        hash.is_some_and(|hash| hash.iter().all(u8::is_ascii_hexdigit))
    }) {
        Language::Rust
    } else if cpp {
        Language::Cpp
    } else if c {
        Language::C
    } else {
        Language::Unknown
    }
}

/// `python3`, `python3.12`
fn is_python(name: &str) -> bool {
    let version = name.strip_prefix("python");
    version.is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

pub(crate) fn file_name(path: &str) -> &str {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows() {
        let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
        let rust = format!("x/rustc/{}/library/core/src/str.rs", "5".repeat(40));
        let tells = |exe, mapped: &[&'static str], data: &str| {
            language(exe, mapped.iter().copied(), data.as_bytes())
        };
        assert_eq!(
            tells(Some("/usr/bin/python3.12"), &[libc], ""),
            Language::Python
        );
        assert_eq!(
            tells(Some("/usr/bin/uwsgi"), &["/l/libpython3.11.so.1.0"], ""),
            Language::Python
        );
        assert_eq!(tells(Some("/usr/bin/pythonista"), &[libc], ""), Language::C);
        assert_eq!(tells(Some("/a"), &[libc], &rust), Language::Rust);
        assert_eq!(tells(Some("/a"), &[libc], "/rustc/x"), Language::C);
        assert_eq!(
            tells(Some("/a"), &[libc, "/l/libstdc++.so.6 (deleted)"], ""),
            Language::Cpp
        );
        assert_eq!(tells(None, &[], ""), Language::Unknown);
    }
}
