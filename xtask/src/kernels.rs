//! Kernels to test on: the newest point release of a line, from the system's own apt or an older
//! release of Debian, unpacked into a cache and never installed.

use crate::apt::{self, Apt};
use crate::suite;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The lines of the matrix, all Debian's.
pub const MATRIX: [&str; 3] = ["5.10", "6.1", "6.12"];

/// Lines that come with a release of Debian's of their own, which need not be the system's.
const RELEASES: [(&str, &str); 1] = [("5.10", "bullseye")];

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What `uname -r` says in it, as far as the file name tells: `6.1.0-56-cloud-amd64`.
    pub release: String,
    /// What to call it in a report: the package's version (`6.1.192-2`), which has the point
    /// release where Debian's `uname -r` has not; else the release.
    pub version: String,
    /// The bzImage.
    pub image: PathBuf,
    /// `lib/modules/RELEASE`, if it came with modules.
    pub modules: Option<PathBuf>,
}

/// A line of the matrix that cannot be had on this system.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// The line.
    pub line: String,
    /// What apt or the system says.
    pub why: String,
}

/// The kernels asked for, and those of the matrix that cannot be had here, with why.
///
/// `wanted` as for [`get`]; none means the matrix. A kernel that is asked for by name must be
/// there, and so must those of the matrix that every Debian has.
pub fn all(wanted: &[String], cache: &Path) -> Result<(Vec<Kernel>, Vec<LeftOut>)> {
    if !wanted.is_empty() {
        let kernels = wanted.iter().map(|kernel| get(kernel, cache));
        return Ok((kernels.collect::<Result<_>>()?, Vec::new()));
    }
    let mut kernels = Vec::new();
    let mut left_out = Vec::new();
    for line in MATRIX {
        match get(line, cache) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) if release_of(line).is_some() => {
                left_out.push(LeftOut {
                    line: line.to_owned(),
                    why: format!("{error:#}"),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((kernels, left_out))
}

/// The release of Debian that this line comes with, if not every system's own apt has it.
fn release_of(line: &str) -> Option<&'static str> {
    let found = RELEASES.iter().find(|(of, _)| *of == line);
    found.map(|(_, codename)| *codename)
}

/// Finds a kernel and fetches it if it is not in `cache`.
///
/// `wanted` is a line (`6.1`), `newest` (that apt offers), or the path of a vmlinuz.
pub fn get(wanted: &str, cache: &Path) -> Result<Kernel> {
    if wanted.contains('/') {
        return from_path(Path::new(wanted));
    }
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels of the matrix are for x86_64; on this machine give a path"
    );
    apt::require()?;
    let found = (|| {
        let apt = match release_of(wanted) {
            Some(codename) => suite::apt(codename, &cache.join("apt").join(codename))?,
            None => Apt::of_system(),
        };
        let (package, version) = resolve(wanted, &apt)?;
        Ok((apt, package, version))
    })();
    match found {
        Ok((apt, package, version)) => fetch(&apt, &package, &version, cache),
        Err(error) => cached(wanted, cache).ok_or(error),
    }
}

/// The package that holds the newest kernel of a line, and its version.
fn resolve(wanted: &str, apt: &Apt) -> Result<(String, String)> {
    let mut packages = if wanted == "newest" {
        all_images(apt)?
    } else {
        ensure!(
            wanted.split('.').count() == 2 && wanted.split('.').all(|n| n.parse::<u16>().is_ok()),
            "no such kernel: {wanted} (a line such as 6.12, \"newest\", or a path with a slash)"
        );
        let mut packages = Vec::new();
        for meta in [
            format!("linux-image-{wanted}-cloud-amd64"),
            "linux-image-cloud-amd64".to_owned(),
        ] {
            packages.extend(apt.depends(&meta)?);
        }
        let line = format!("linux-image-{wanted}.");
        packages.retain(|name| name.starts_with(&line));
        packages
    };
    packages.sort_by(|a, b| apt::compare(b, a));
    for package in packages {
        if let Some(version) = apt.candidate(&package)? {
            return Ok((package, version));
        }
    }
    bail!(
        "apt offers no kernel {wanted} here. The matrix of {} needs Debian; if the package lists \
         are empty or old: apt-get update",
        MATRIX.join(", ")
    )
}

/// The kernel images for virtual machines that apt knows of. Debian calls them cloud-amd64,
/// Ubuntu generic. Packages without a point release in the name hold no kernel.
fn all_images(apt: &Apt) -> Result<Vec<String>> {
    let mut names = apt.names("linux-image-")?;
    names.retain(|name| is_image(name));
    Ok(names)
}

fn is_image(package: &str) -> bool {
    let Some(release) = package.strip_prefix("linux-image-") else {
        return false;
    };
    let version = release.split(['-', '+']).next().unwrap_or("");
    version.split('.').count() == 3
        && version.split('.').all(|n| n.parse::<u16>().is_ok())
        && (release.ends_with("-cloud-amd64") || release.ends_with("-generic"))
}

fn fetch(apt: &Apt, package: &str, version: &str, cache: &Path) -> Result<Kernel> {
    let folder = cache.join(format!("{package}_{version}"));
    if let Some(kernel) = from_cache(&folder) {
        return Ok(kernel);
    }
    eprintln!("fetching {package} {version}");
    // Unpacked beside its place and then renamed: a folder under its name is complete.
    let partial = cache.join(format!(".partial-{}", std::process::id()));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let done = (|| {
        let release = package.trim_start_matches("linux-image-");
        // Ubuntu keeps modules in a package of their own, Debian does not.
        let modules = format!("linux-modules-{release}");
        let mut packages = vec![package.to_owned()];
        if apt.candidate(&modules)?.is_some() {
            packages.push(modules);
        }
        let root = partial.join("root");
        for package in packages {
            let file = apt.download(&package, &partial)?;
            apt::extract(&file, &root)?;
        }
        fs::rename(
            root.join(format!("boot/vmlinuz-{release}")),
            partial.join("vmlinuz"),
        )
        .context("the package holds no vmlinuz")?;
        fs::write(partial.join("release"), release)?;
        fs::write(partial.join("version"), version)?;
        let mut usr_merged = root.join("usr/lib/modules");
        if !usr_merged.exists() {
            usr_merged = root.join("lib/modules");
        }
        if usr_merged.join(release).exists() {
            fs::rename(usr_merged.join(release), partial.join("modules"))?;
        }
        fs::remove_dir_all(&root)?;
        for entry in fs::read_dir(&partial)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "deb") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    })();
    let renamed = done.and_then(|()| Ok(fs::rename(&partial, &folder)?));
    if let Err(error) = renamed {
        let _ = fs::remove_dir_all(&partial);
        // Another run may have been quicker.
        return from_cache(&folder).ok_or(error);
    }
    from_cache(&folder).context("the kernel that was just fetched is not there")
}

fn from_cache(folder: &Path) -> Option<Kernel> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let modules = folder.join("modules");
    let image = folder.join("vmlinuz");
    image.exists().then_some(())?;
    Some(Kernel {
        release: read("release")?,
        version: read("version")?,
        image,
        modules: modules.exists().then_some(modules),
    })
}

/// Without a network, the newest of a line that was fetched before.
fn cached(wanted: &str, cache: &Path) -> Option<Kernel> {
    let mut kernels: Vec<Kernel> = fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| from_cache(&entry.ok()?.path()))
        .filter(|k| wanted == "newest" || k.release.starts_with(&format!("{wanted}.")))
        .collect();
    kernels.sort_by(|a, b| apt::compare(&a.version, &b.version));
    let kernel = kernels.pop()?;
    eprintln!(
        "apt offers no kernel {wanted}: using {} from the cache",
        kernel.version
    );
    Some(kernel)
}

fn from_path(image: &Path) -> Result<Kernel> {
    let image = image
        .canonicalize()
        .with_context(|| format!("no kernel {}", image.display()))?;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let release = name.trim_start_matches("vmlinuz-").to_owned();
    let modules = ["/lib/modules", "/usr/lib/modules"]
        .into_iter()
        .map(|folder| Path::new(folder).join(&release))
        .find(|folder| folder.exists());
    Ok(Kernel {
        version: release.clone(),
        release,
        image,
        modules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_point_release_and_runs_in_a_machine() {
        for yes in [
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.8.0-31-generic",
        ] {
            assert!(is_image(yes), "{yes}");
        }
        for no in [
            "linux-image-6.12-cloud-amd64",
            "linux-image-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64-dbg",
            "linux-image-6.1.0-56-rt-amd64",
            "linux-image-unsigned-6.8.0-31-generic",
        ] {
            assert!(!is_image(no), "{no}");
        }
    }

    #[test]
    fn a_line_is_two_numbers() {
        assert!(resolve("6", &Apt::of_system()).is_err());
        assert!(resolve("six.one", &Apt::of_system()).is_err());
    }
}
