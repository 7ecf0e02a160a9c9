//! Kernel modules for the machine: found by name, with what they depend on, uncompressed.
//!
//! A package holds no `modules.dep` (depmod writes it on installation), so dependencies are read
//! from the modules themselves: the `depends=` string of their `.modinfo` section.

use crate::command;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tests need that the kernels of the matrix do not have built in.
pub const WANTED: [&str; 5] = ["veth", "sch_ingress", "sch_htb", "cls_bpf", "act_bpf"];

/// The modules of one kernel.
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
    builtin: Vec<String>,
}

/// A module ready to be loaded.
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// The uncompressed `.ko`.
    pub content: Vec<u8>,
}

impl Modules {
    /// Reads `lib/modules/RELEASE`.
    pub fn new(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        walk(&folder.join("kernel"), &mut files)
            .with_context(|| format!("cannot read the modules in {}", folder.display()))?;
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Ok(Self {
            files,
            builtin: builtin
                .lines()
                .filter_map(|l| name_of(Path::new(l)))
                .collect(),
        })
    }

    /// The wanted modules and all they depend on, in the order in which they can be loaded; and
    /// the names of those that this kernel does not have at all.
    pub fn load_order(&self, wanted: &[&str]) -> Result<(Vec<Module>, Vec<String>)> {
        let mut order = Vec::new();
        let mut missing = Vec::new();
        for name in wanted {
            let name = normal(name);
            if self.builtin.contains(&name) {
                continue;
            }
            if self.files.contains_key(&name) {
                self.add(&name, &mut order, 0)?;
            } else {
                missing.push(name);
            }
        }
        Ok((order, missing))
    }

    fn add(&self, name: &str, order: &mut Vec<Module>, depth: usize) -> Result<()> {
        if depth > 32 {
            bail!("the modules depend on each other in a circle at {name}");
        }
        if self.builtin.iter().any(|b| b == name) || order.iter().any(|m| m.name == name) {
            return Ok(());
        }
        let file = self
            .files
            .get(name)
            .with_context(|| format!("no module {name}, on which another depends"))?;
        let content = uncompressed(file)?;
        for dependency in depends(&content) {
            self.add(&dependency, order, depth + 1)?;
        }
        order.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }
}

fn walk(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else if let Some(name) = name_of(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// `act_bpf` of `kernel/net/sched/act-bpf.ko.xz`.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (stem, compression) = name.split_once(".ko")?;
    matches!(compression, "" | ".xz" | ".zst" | ".gz").then(|| normal(stem))
}

/// The kernel takes dash and underscore for the same in a module's name.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

fn uncompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return Ok(fs::read(file)?),
    };
    command::output(Command::new(program).arg("-dc").arg(file))
}

/// The names after `depends=`. The strings of `.modinfo` end with a zero byte each.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|w| w == KEY) else {
        return Vec::new();
    };
    let value: Vec<u8> = module[at + KEY.len()..]
        .iter()
        .copied()
        .take_while(|&b| b != 0)
        .take(4096)
        .collect();
    String::from_utf8_lossy(&value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(normal)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("kernel/net");
        fs::create_dir_all(&kernel).unwrap();
        for (name, content) in [
            ("a.ko", &b"\0name=a\0depends=b,c-d\0"[..]),
            ("b.ko", b"\0depends=c-d\0"),
            ("c-d.ko", b"\0depends=\0"),
            ("unwanted.ko", b"\0depends=\0"),
        ] {
            fs::write(kernel.join(name), content).unwrap();
        }
        fs::write(
            folder.path().join("modules.builtin"),
            "kernel/drivers/net/built-in.ko\n",
        )
        .unwrap();
        let modules = Modules::new(folder.path()).unwrap();
        let (order, missing) = modules.load_order(&["a", "built_in", "nowhere"]).unwrap();
        let names: Vec<&str> = order.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["c_d", "b", "a"]);
        assert_eq!(missing, ["nowhere"]);
    }

    #[test]
    fn a_circle_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("kernel")).unwrap();
        fs::write(folder.path().join("kernel/a.ko"), b"\0depends=a\0").unwrap();
        let modules = Modules::new(folder.path()).unwrap();
        assert!(modules.load_order(&["a"]).is_err());
    }
}
