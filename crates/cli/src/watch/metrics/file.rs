//! The page as a file, for `node_exporter`'s textfile collector.

use crate::exit::Usage;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file that is replaced whole: who reads it has the page of one sweep.
///
/// It stays when the watch ends, with the numbers of the last sweep and their time in it.
pub struct PageFile {
    path: PathBuf,
    /// Beside it, of a name that the collector passes over. Always the same: a watch that was killed
    /// leaves at most one.
    new: PathBuf,
    /// It was written at least once.
    written: bool,
    /// The last attempt failed, and that was said.
    failed: bool,
}

impl PageFile {
    pub fn new(path: &Path) -> Result<Self, Usage> {
        let wrong = |what: &str| Usage(format!("--metrics {}: {what}", path.display()));
        let Some(name) = path.file_name() else {
            return Err(wrong("is no name of a file"));
        };
        // A rename would put a file in the place of a device, and a link would be no link any more.
        match fs::symlink_metadata(path) {
            Ok(there) if !there.is_file() => return Err(wrong("is there, and no regular file")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(wrong(&error.to_string()));
            }
            _ => {}
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".lastref-new");
        let file = Self {
            path: path.to_owned(),
            new: path.with_file_name(hidden),
            written: false,
            failed: false,
        };
        // A folder that is not there, or not ours, is said now, and not when a command runs.
        let tried = file.create().and_then(|_| fs::remove_file(&file.new));
        tried.map_err(|error| wrong(&error.to_string()))?;
        Ok(file)
    }

    /// Replaces it. That the first page cannot be written is an error; later ones are tried again with
    /// the next sweep, as a disk that is full for a while must not end a watch.
    pub fn write(&mut self, page: &[u8]) -> anyhow::Result<()> {
        let failed = self.replace(page).err();
        match &failed {
            Some(error) if !self.written => {
                let text = format!("--metrics {}: {error}", self.path.display());
                return Err(Usage(text).into());
            }
            Some(error) if !self.failed => {
                eprintln!(
                    "lastref: {} is not written any more: {error}",
                    self.path.display()
                );
            }
            None if self.failed => eprintln!("lastref: {} is written again", self.path.display()),
            _ => {}
        }
        self.failed = failed.is_some();
        self.written = true;
        Ok(())
    }

    /// Made anew, so that nobody's link is followed.
    fn create(&self) -> io::Result<File> {
        match fs::remove_file(&self.new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).open(&self.new)
    }

    fn replace(&self, page: &[u8]) -> io::Result<()> {
        let written = self
            .create()
            .and_then(|mut file| file.write_all(page))
            .and_then(|()| fs::rename(&self.new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&self.new);
        }
        written
    }
}
