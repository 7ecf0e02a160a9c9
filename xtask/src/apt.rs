//! Packages by the system's own apt: found, checked and downloaded, never installed.

use crate::command;
use anyhow::{Context, Result, bail};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The system's apt, or one with sources and lists of its own.
#[derive(Debug, Default)]
pub struct Apt {
    /// As given to `-o`.
    options: Vec<String>,
}

impl Apt {
    /// As the system is set up.
    pub fn of_system() -> Self {
        Self::default()
    }

    /// With these options, which give it sources and lists of its own.
    pub fn with(options: Vec<String>) -> Self {
        Self { options }
    }

    /// The packages that `package` depends on, by name. None if apt does not know the package.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let done = command::run(self.cache().args(["depends", "--important", package]))?;
        Ok(String::from_utf8_lossy(&done.stdout)
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .collect())
    }

    /// All package names that begin so.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = command::text(self.cache().args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The version that apt would download, `None` if there is none.
    pub fn candidate(&self, package: &str) -> Result<Option<String>> {
        let text = command::text(self.cache().args(["policy", package]))?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Candidate: "))
            .find(|version| *version != "(none)")
            .map(str::to_owned))
    }

    /// Fetches the package lists. Those of the system only root can.
    pub fn update(&self) -> Result<()> {
        let done = command::run(self.get().args(["-qq", "update"]))?;
        if !done.status.success() {
            bail!(
                "apt-get update ({}): {}",
                done.status,
                String::from_utf8_lossy(&done.stderr).trim()
            );
        }
        Ok(())
    }

    /// Downloads the candidate of a package into `folder` and gives the file.
    ///
    /// A mirror drops a version as soon as the next is there, so a failure is met by one update
    /// of the lists and a second try.
    pub fn download(&self, package: &str, folder: &Path) -> Result<PathBuf> {
        if let Err(first) = self.download_once(package, folder) {
            // SAFETY: geteuid(2) takes nothing and cannot fail.
            if self.options.is_empty() && unsafe { libc::geteuid() } != 0 {
                return Err(first.context("if the package lists are old: sudo apt-get update"));
            }
            self.update()?;
            self.download_once(package, folder)?;
        }
        let prefix = format!("{package}_");
        std::fs::read_dir(folder)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            })
            .with_context(|| format!("apt-get download {package} wrote no file"))
    }

    fn download_once(&self, package: &str, folder: &Path) -> Result<()> {
        let mut command = self.get();
        command
            .args(["-qq", "download", package])
            .current_dir(folder);
        command::output(&mut command)?;
        Ok(())
    }

    fn get(&self) -> Command {
        let mut command = self.command("apt-get");
        // The sandbox user of apt cannot write into a folder of root's; signatures are checked
        // all the same.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }

    fn cache(&self) -> Command {
        self.command("apt-cache")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // Its words are read by a program.
        command.env("LC_ALL", "C");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// Unpacks a package's files under `folder`.
pub fn extract(package: &Path, folder: &Path) -> Result<()> {
    command::output(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))?;
    Ok(())
}

/// Is apt there at all?
pub fn require() -> Result<()> {
    if command::run(Command::new("apt-get").arg("--version")).is_err() {
        bail!(
            "kernels come from Debian's or Ubuntu's apt, and there is no apt-get here: \
             give the path of a vmlinuz instead (--kernel PATH)"
        );
    }
    Ok(())
}

/// Orders version strings: runs of digits as numbers, the rest as text. Enough for kernel
/// releases; not Debian's full order.
pub fn compare(a: &str, b: &str) -> Ordering {
    parts(a).cmp(&parts(b))
}

fn parts(version: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = version;
    while !rest.is_empty() {
        let text_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_end);
        let number_end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (number, after) = after.split_at(number_end);
        // The text stands before its number, but a number decides first.
        parts.push((number.parse().unwrap_or(u64::MAX), text.to_owned()));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        for (less, more) in [
            ("6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64"),
            ("6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"),
            ("6.12.99+deb12-cloud-amd64", "6.12.117+deb12-cloud-amd64"),
            ("6.8.0-31-generic", "6.14.0-27-generic"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} {more}");
        }
        assert_eq!(compare("6.1", "6.1"), Ordering::Equal);
    }
}
