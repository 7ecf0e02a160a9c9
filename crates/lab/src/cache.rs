//! The folder that the lab builds in, and what of it is the lab's.
//!
//! Somebody may name any folder as the cache. So whatever the lab makes there is a folder with a
//! mark in it, and nothing without one is ever removed.

use crate::error::Error;
use crate::leftovers::Cleaned;
use crate::prepare::Unready;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that says that its folder is the lab's.
const MARKER: &str = ".lastref-lab";
/// A file that whoever uses the folder has locked.
const LOCK: &str = "lock";

/// The folder that the lab builds in: `LASTREF_LAB_CACHE`, else below the user's cache folder.
pub fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let named = variable("LASTREF_LAB_CACHE").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| {
        let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
        let base = base.or_else(home);
        base.unwrap_or_else(|| "/var/cache".into())
            .join("lastref/lab")
    });
    // Tools run in folders of their own, where a relative path would lead elsewhere.
    std::path::absolute(&folder).unwrap_or(folder)
}

/// A folder of the lab's, which stays as it is while this lives.
#[derive(Debug)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    _lock: File,
}

/// What others may do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Read it, too.
    Read,
    /// Wait.
    Write,
}

impl Folder {
    /// Makes it if it is not there, and waits for whoever writes it.
    pub fn of(root: &Path, name: &str, how: Use) -> Result<Self, Unready> {
        let path = root.join(name);
        let failed = |error| Unready::Cache {
            path: path.clone(),
            error,
        };
        loop {
            make(&path).map_err(failed)?;
            let lock = match File::create(path.join(LOCK)) {
                // Removed in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock.map_err(failed)?,
            };
            let operation = match how {
                Use::Read => FlockOperation::LockShared,
                Use::Write => FlockOperation::LockExclusive,
            };
            match flock(&lock, operation) {
                Err(Errno::INTR) => continue,
                done => done.map_err(|errno| failed(errno.into()))?,
            }
            if is_at(&lock, &path.join(LOCK)) {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

/// It is this very file that lies there: not removed while we waited for it.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let (ours, there) = (file.metadata(), fs::metadata(path));
    ours.is_ok_and(|ours| there.is_ok_and(|there| same(&ours, &there)))
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(root) = path.parent() {
        fs::create_dir_all(root)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) if is_ours(path) => return Ok(()),
        // Nothing but what another lab is just making.
        Err(_) if fs::read_dir(path)?.next().is_none() => {}
        // It may have got its mark since we looked.
        Err(_) if is_ours(path) => return Ok(()),
        Err(_) => return Err(io::Error::other("is there, and the lab has not made it")),
    }
    match fs::write(path.join(MARKER), "Made by `lastref lab`.\n") {
        // Removed in between; the lock is not found either, and all begins again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A folder, and no way to one, with the mark in it.
fn is_ours(path: &Path) -> bool {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|data| data.is_dir());
    is_folder && fs::symlink_metadata(path.join(MARKER)).is_ok_and(|data| data.is_file())
}

/// Removes what the lab has built. What another lab uses stays, and so does all that is not the
/// lab's.
pub fn clean_cache() -> Result<Cleaned, Error> {
    clean(&cache())
}

fn clean(root: &Path) -> Result<Cleaned, Error> {
    let mut cleaned = Cleaned::default();
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(cleaned),
        entries => entries.map_err(|e| Error::host(root.display().to_string(), e))?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut ours: Vec<PathBuf> = paths.filter(|path| is_ours(path)).collect();
    ours.sort();
    for path in ours {
        match remove(&path) {
            Ok(true) => cleaned.removed.push(path),
            Ok(false) => cleaned.in_use.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => cleaned.failed.push((path, error)),
        }
    }
    Ok(cleaned)
}

/// False if somebody uses it.
fn remove(path: &Path) -> io::Result<bool> {
    let lock = File::create(path.join(LOCK))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(false),
        done => done?,
    }
    if !is_at(&lock, &path.join(LOCK)) {
        // Another has just removed it, and perhaps a third has made it again.
        return Ok(false);
    }
    // Whoever waits for the lock finds nothing there any more, and makes a new one.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".removed-{}", std::process::id()));
    let aside = path.with_file_name(name);
    fs::rename(path, &aside)?;
    for entry in fs::read_dir(&aside)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    // Last: what is left after an error is still the lab's.
    fs::remove_file(aside.join(MARKER))?;
    fs::remove_dir(&aside)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Place;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_the_lab_has_made_is_removed() {
        let place = Place::new("cache-clean");
        let root = place.path.join("cache");
        let folder = |name| Folder::of(&root, name, Use::Write).expect("a folder");
        fs::create_dir_all(folder("built").path.join("src")).expect("a folder");
        fs::create_dir(root.join("photos")).expect("a folder");
        fs::write(root.join("photos/cat"), "meow").expect("a file");
        fs::write(root.join("lock"), "").expect("a file");
        // A way to a folder of the lab's that lies elsewhere.
        let elsewhere = Folder::of(&place.path, "elsewhere", Use::Write).expect("a folder");
        symlink(&elsewhere.path, root.join("way")).expect("a link");
        drop(elsewhere);
        let used = Folder::of(&root, "used", Use::Read).expect("a folder");

        let cleaned = clean(&root).expect("it can be read");
        assert_eq!(cleaned.removed, [root.join("built")]);
        assert_eq!(cleaned.in_use, [root.join("used")]);
        assert!(cleaned.failed.is_empty(), "{:?}", cleaned.failed);
        assert!(!root.join("built").exists());
        for stays in ["photos/cat", "lock", "used/lock", "way/lock"] {
            assert!(root.join(stays).exists(), "{stays}");
        }
        drop(used);
        assert_eq!(clean(&root).expect("").removed, [root.join("used")]);
        assert!(
            clean(&place.path.join("no-such"))
                .expect("")
                .removed
                .is_empty()
        );
    }

    #[test]
    fn who_waits_for_a_folder_that_is_removed_gets_a_new_one() {
        let place = Place::new("cache-wait");
        let first = Folder::of(&place.path, "built", Use::Write).expect("a folder");
        fs::write(first.path.join("program"), "").expect("a file");
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Folder::of(&place.path, "built", Use::Write));
            std::thread::sleep(std::time::Duration::from_millis(50));
            // What `remove` does, by who has the lock.
            fs::remove_dir_all(&first.path).expect("it is there");
            drop(first);
            let second = second.join().expect("no panic").expect("a folder");
            assert!(is_ours(&second.path) && !second.path.join("program").exists());
        });
    }

    #[test]
    fn a_folder_that_is_not_the_labs_is_not_built_in() {
        let place = Place::new("cache-foreign");
        fs::create_dir(place.path.join("built")).expect("a folder");
        fs::write(place.path.join("built/cat"), "meow").expect("a file");
        let refused = Folder::of(&place.path, "built", Use::Write);
        assert!(matches!(refused, Err(Unready::Cache { .. })), "{refused:?}");
    }
}
