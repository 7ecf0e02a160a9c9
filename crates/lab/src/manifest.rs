//! `scenario.toml`: what a scenario is, and what is true of it. The fields are explained in
//! `lab/README.md`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// All of a `scenario.toml`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What is wrong, in a few words.
    pub title: String,
    /// What happens, in a sentence or two.
    pub shows: String,
    /// What it is written in.
    pub language: Language,
    /// Folders of `lab/modules` that it is built with, one at a time; the first is the default.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Real cases of the same kind, as addresses.
    #[serde(default)]
    pub reports: Vec<String>,
    /// What it needs beside its language.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// A collector runs by itself from time to time, so that the lab may force one while others look.
    #[serde(default = "yes")]
    pub collects: bool,
    /// What may be set.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// What it holds, and what is true of that.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

fn yes() -> bool {
    true
}

/// What a scenario is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Go.
    Go,
    /// C.
    C,
    /// Rust.
    Rust,
}

impl Language {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Go => "Go",
            Self::C => "C",
            Self::Rust => "Rust",
        }
    }
}

/// What a scenario needs of the host beside its language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A C compiler for Go's cgo.
    Cgo,
    /// libbpf's headers and library, version 1.0 or newer.
    Libbpf,
    /// A clang that compiles BPF code, and bpftool to make skeletons.
    BpfCompiler,
    /// A cgroup hierarchy of version 2.
    CgroupV2,
}

/// What may be set with `--param NAME=VALUE`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// If nothing is said.
    pub default: String,
    /// The variable that it comes in; `LAB_NAME` if none is named.
    pub env: Option<String>,
    /// What it does.
    pub help: String,
}

/// Objects, or handles on them, of one kind and fate.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// As the program calls it.
    pub name: String,
    /// They grow without bound.
    pub leaks: bool,
    /// The objects.
    pub object: ObjectTruth,
    /// Kinds of references that each object has, as `by` has them.
    pub held_by: Vec<String>,
    /// The state of the objects while the program lives.
    pub state: String,
    /// Entries that a step adds to `held`: at least, at most.
    pub per_step: [u64; 2],
    /// Acceptable verdicts of `explain`, the most specific first.
    #[serde(default)]
    pub verdicts: Vec<String>,
    /// Entries that it holds at most at any time: of a group that is clean, and grows for a while.
    pub at_most: Option<u64>,
    /// Acceptable origins of `explain`; empty: any.
    #[serde(default)]
    pub origin: Vec<String>,
    /// Where the handles are made.
    pub site: Option<SiteTruth>,
    /// The source rule that should fire.
    pub rule: Option<String>,
    /// Where it should, if that is not where the handles are made.
    pub at: Option<SiteTruth>,
}

/// What is known of a group's objects.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectTruth {
    /// `map`, `prog`, `link` or `btf`.
    pub kind: model::Kind,
    /// As the kernel has it; a glob where each step makes another.
    pub name: String,
    /// In bpftool's words.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A line of source.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SiteTruth {
    /// Below the scenario's folder.
    pub file: String,
    /// As a stack trace has it.
    pub function: String,
    /// What the line's comment contains.
    pub mark: String,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectTruth {
            kind,
            name,
            type_name,
        } = &self.object;
        write!(f, "{}: {}", self.name, kind.as_str())?;
        if !name.is_empty() {
            write!(f, " {name}")?;
        }
        write!(f, " ({type_name})")?;
        match (self.leaks, self.per_step) {
            (true, [1, 1]) => f.write_str(": a leak, one more with each step"),
            (true, [least, most]) if least == most => {
                write!(f, ": a leak, {least} more with each step")
            }
            (true, _) => f.write_str(": a leak"),
            (false, [0, 0]) => f.write_str(": no leak, as many all the time"),
            (false, _) => f.write_str(": no leak"),
        }
    }
}
