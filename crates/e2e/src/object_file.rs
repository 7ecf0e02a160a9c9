//! BPF programs in C, compiled by the build script from `fixtures/`.

use crate::bpf::{self, Kind, Object};
use crate::files;
use crate::kernel;
use crate::scene::{Outcome, Stop};
use crate::sys::io;
use crate::truth::Bpftool;
use std::collections::BTreeMap;
use std::path::Path;

/// What an object file holds. Nothing is pinned any more.
#[derive(Debug)]
pub struct Loaded {
    maps: BTreeMap<String, Object>,
    progs: BTreeMap<String, Object>,
}

/// Loads `fixtures/NAME.bpf.c` with bpftool. `bpffs` is one of this process's own:
/// [`files::private_bpffs`].
pub fn load(name: &str, bpffs: &Path) -> Outcome<Loaded> {
    let (progs, maps) = (bpffs.join("progs"), bpffs.join("maps"));
    Bpftool::find().load(name, &progs, &maps)?;
    Ok(Loaded {
        maps: open(Kind::Map, &maps)?,
        progs: open(Kind::Prog, &progs)?,
    })
}

/// The same, of an object file that kernels before `since` cannot take: they lack what
/// `why` names.
pub fn load_since(name: &str, bpffs: &Path, since: (u32, u32), why: &str) -> Outcome<Loaded> {
    load(name, bpffs).map_err(|stop| match stop {
        Stop::Failed(text) if kernel::version() < since => {
            Stop::Impossible(format!("{why} ({text})"))
        }
        other => other,
    })
}

/// Opens what is pinned in a folder, and removes the pins.
fn open(kind: Kind, folder: &Path) -> Outcome<BTreeMap<String, Object>> {
    let what = folder.display().to_string();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(io(&what))? {
        let path = entry.map_err(io(&what))?.path();
        let object = bpf::open_pin(kind, &path)?;
        files::unlink(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        found.insert(name.into_owned(), object);
    }
    Ok(found)
}

impl Loaded {
    /// Takes a map.
    pub fn map(&mut self, name: &str) -> Outcome<Object> {
        take(&mut self.maps, name)
    }

    /// Takes a program, by its function's name.
    pub fn prog(&mut self, name: &str) -> Outcome<Object> {
        take(&mut self.progs, name)
    }
}

fn take(objects: &mut BTreeMap<String, Object>, name: &str) -> Outcome<Object> {
    objects
        .remove(name)
        .ok_or_else(|| Stop::Failed(format!("the object file has no {name}")))
}
