//! The program's libraries: what they do with handles, and what they are known to do wrong.

use super::{Context, Line};
use crate::evidence::{Language, Library, Runtime};
use crate::group::Group;
use crate::judge::known_type;
use libraries::{LibraryKind, defects};
use model::{EvidenceKind, Verdict};

/// Defects that are told.
const DEFECTS: usize = 3;

pub(super) fn say<'e>(context: &Context<'e>, group: &Group<'e>, lines: &mut Vec<Line>) {
    let process = &context.evidence.process;
    let mut say = |says: String| lines.push((EvidenceKind::Libraries, says));
    match (group.verdict, &process.runtime) {
        (Verdict::Unmanaged, Runtime::NotGo(language)) => say(format!(
            "{}{}",
            what_it_is(*language),
            with(&process.libraries)
        )),
        (Verdict::NoOwner, _) => {
            let foreign = |l: &&Library| l.kind != LibraryKind::CiliumEbpf;
            let foreign: Vec<Library> = process.libraries.iter().filter(foreign).cloned().collect();
            if !foreign.is_empty() {
                say(format!(
                    "the program has{}, whose descriptors no Go object releases",
                    list(&foreign)
                ));
            }
        }
        (Verdict::NoRelease, _) => {
            let mut owners = group.owners();
            let known = owners.find_map(|owner| known_type(owner, &process.libraries));
            if let Some(known) = known {
                say(format!(
                    "{} registers neither, in any of its releases",
                    known.library.name()
                ));
            }
        }
        _ => {}
    }
    let tells = !matches!(
        group.verdict,
        Verdict::Retained | Verdict::Mapped | Verdict::Unknown
    );
    if tells {
        let all = process.libraries.iter();
        let known = all.flat_map(|library| defects(library, group.kind).map(move |d| (library, d)));
        for (library, defect) in known.take(DEFECTS) {
            let fixed = match defect.fixed_in() {
                Some(release) => format!("; not since {release}"),
                None => String::new(),
            };
            say(format!(
                "known of {}: {}{fixed}",
                named(library),
                defect.says
            ));
        }
    }
}

fn what_it_is(language: Language) -> &'static str {
    match language {
        Language::C => {
            "the program is not Go, and seems to be C: it has no collector that closes descriptors"
        }
        Language::Cpp => "the program is C++: it has no collector that closes descriptors",
        Language::Rust => "the program is Rust: it has no collector that closes descriptors",
        Language::Python => {
            "the program is Python, whose collector closes no descriptor that is a number"
        }
        Language::Unknown => "the program is not Go: it has no collector that closes descriptors",
    }
}

fn with(libraries: &[Library]) -> String {
    if libraries.is_empty() {
        return String::new();
    }
    format!("; it has{}", list(libraries))
}

fn list(libraries: &[Library]) -> String {
    let names: Vec<String> = libraries.iter().map(|l| format!(" {}", named(l))).collect();
    names.join(",")
}

fn named(library: &Library) -> String {
    match &library.version {
        Some(version) => format!("{} {version}", library.kind.name()),
        None => library.kind.name().to_owned(),
    }
}
