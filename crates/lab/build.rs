//! Puts the scenarios' sources into the program, so that the lab runs where only the program is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let lab = root.join("../../lab").canonicalize()?;
    println!("cargo::rerun-if-changed={}", lab.display());
    let mut files = Vec::new();
    collect(&lab, &mut files)?;
    files.sort();
    let mut out = String::from(
        "/// Path below `lab/`, and content.\npub static FILES: &[(&str, &[u8])] = &[\n",
    );
    for file in files {
        let name = file.strip_prefix(&lab).expect("it is below");
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(
            out,
            "({:?}, include_bytes!({:?})),",
            name.display().to_string(),
            file.display().to_string()
        )
        .expect("a string takes everything");
    }
    out.push_str("];\n");
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    fs::write(target.join("embedded.rs"), out)
}

include!("src/not_sources.rs");

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
