//! Which programs, built with what.

use lab::score::Setting;
use lab::{Build, Language, Scenario, scenarios};
use std::fmt;

/// A scenario, and how it is run.
pub struct Case {
    pub part: Part,
    pub scenario: &'static Scenario,
    pub setting: Setting,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Build { module, go, flags } = &self.setting.build;
        f.write_str(self.scenario.name)?;
        for word in module.iter().chain(go).chain(flags) {
            write!(f, " {word}")?;
        }
        Ok(())
    }
}

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Each Go scenario with each of its modules, with the machine's Go.
    Matrix,
    /// Some scenarios with each release of Go, and a module that it can build.
    Releases,
    /// Some scenarios, stripped and independent of their position, also with C in them; and with what
    /// is not the release's default.
    Kinds,
}

/// The last of each minor release. Toolchains are fetched by the machine's Go.
const RELEASES: [&str; 7] = [
    "1.21.13", "1.22.12", "1.23.12", "1.24.11", "1.25.5", "1.26.8", "1.27.4",
];
/// One program each.
const OLDER: [&str; 3] = ["1.18.10", "1.19.13", "1.20.14"];

/// What keeps or releases handles in each of the ways that the runtime knows.
const CHOSEN: [&str; 8] = [
    "go-cache-grows",
    "go-local-dropped",
    "go-finalizer-blocked",
    "go-cleanup-blocked",
    "go-perf-reader-left",
    "go-raw-fd-left",
    "go-goroutine-blocked",
    "go-tiny-name",
];

const KINDS: [&[&str]; 3] = [
    &["-ldflags=-s -w"],
    &["-buildmode=pie"],
    &["-ldflags=-s -w", "-buildmode=pie"],
];

/// With C in them: linked by the system's linker.
const WITH_C: [&str; 2] = ["go-cgo-obj-get", "go-libbpfgo-map-low"];

/// Experiments that change what the heap looks like.
const EXPERIMENTS: [(&str, &str); 3] = [
    ("1.22.12", "GOEXPERIMENT=noallocheaders"),
    ("1.25.5", "GOEXPERIMENT=greenteagc"),
    ("1.26.8", "GOEXPERIMENT=nogreenteagc"),
];

impl Part {
    pub const ALL: [Self; 3] = [Self::Matrix, Self::Releases, Self::Kinds];

    pub fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Releases => "releases",
            Self::Kinds => "kinds",
        }
    }

    pub fn cases(self) -> Vec<Case> {
        let builds = match self {
            Self::Matrix => matrix(),
            Self::Releases => releases(),
            Self::Kinds => kinds(),
        };
        let cases = builds.into_iter().map(|(scenario, build)| Case {
            part: self,
            scenario,
            setting: Setting {
                build,
                parameters: vec![],
            },
        });
        cases.collect()
    }
}

type Built = (&'static Scenario, Build);

fn matrix() -> Vec<Built> {
    let all = scenarios().iter();
    let of_go = all.filter(|s| s.manifest.language == Language::Go);
    let each = of_go.flat_map(|scenario| {
        let modules = scenario.manifest.modules.iter();
        modules.map(move |module| {
            let build = Build {
                module: Some(module.clone()),
                ..Build::default()
            };
            (scenario, build)
        })
    });
    each.collect()
}

fn releases() -> Vec<Built> {
    let chosen = RELEASES.iter().flat_map(|release| chosen(release));
    let older = OLDER
        .iter()
        .map(|release| (find("go-cache-grows"), with("ebpf-v0.9.1", release)));
    older.chain(chosen).collect()
}

/// The chosen scenarios that a release can build, with the newest module that it can.
fn chosen(release: &str) -> impl Iterator<Item = Built> {
    CHOSEN.iter().filter_map(move |name| {
        let scenario = find(name);
        let modules = scenario.manifest.modules.iter();
        let mut modules = modules.filter(|module| builds(release, module));
        Some((scenario, with(modules.next()?, release)))
    })
}

fn with(module: &str, release: &str) -> Build {
    Build {
        module: Some(module.to_owned()),
        go: Some(release.to_owned()),
        flags: vec![],
    }
}

/// The releases that each version of the library says it takes.
fn builds(release: &str, module: &str) -> bool {
    let minor = release.split('.').nth(1).and_then(|n| n.parse().ok());
    let least = match module {
        "ebpf-v0.22.0" => 25,
        "ebpf-v0.20.0" => 24,
        "ebpf-v0.19.0" => 23,
        "ebpf-v0.16.0" => 21,
        _ => 18,
    };
    minor.is_some_and(|minor: u32| minor >= least)
}

fn kinds() -> Vec<Built> {
    let names = CHOSEN.iter().chain(&WITH_C);
    let of_kinds = names.flat_map(|name| {
        KINDS.iter().map(move |flags| {
            let build = Build {
                flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
                ..Build::default()
            };
            (find(name), build)
        })
    });
    let experiments = EXPERIMENTS.iter().flat_map(|(release, variable)| {
        chosen(release).map(move |(scenario, build)| {
            let flags = vec![variable.to_string()];
            (scenario, Build { flags, ..build })
        })
    });
    of_kinds.chain(experiments).collect()
}

/// A scenario that is there.
pub fn find(name: &str) -> &'static Scenario {
    let found = scenarios().iter().find(|scenario| scenario.name == name);
    found.unwrap_or_else(|| panic!("no scenario {name}"))
}
