//! What `/proc` alone shows of a process: its descriptors, without accounts and growth.

use super::go::{Go, Parts};
use super::target::Target;
use super::{Case, Described, ExplainError, ExplainOptions, name, stayed};
use crate::Error;
use crate::handles::Handle;
use kernel::names;
use model::{CannotSee, ExplainReport, Kind, ObjectId};
use process::{BpfDescriptor, Proc};
use rustc_hash::FxHashSet;
use std::time::Duration;

/// The same as [`super::explain`] where the kernel's walks may not be loaded: `error` says why not, and is the
/// answer if the descriptors cannot be listed either.
pub fn explain(
    proc: &Proc,
    pid: u32,
    options: ExplainOptions,
    error: Error,
) -> Result<ExplainReport, ExplainError> {
    let pid = name::find(proc, pid)?;
    let target = Target::of(proc, pid)?;
    let profile = super::compared(options.profile, proc, &target)?;
    let Ok(listed) = proc.bpf_descriptors(pid) else {
        return Err(ExplainError::Sweep(error));
    };
    let parts = Parts::open(proc, &target);
    let mut go = Go::attach(&target, &parts);
    if !options.duration.is_zero() {
        go.look_first();
        std::thread::sleep(options.duration);
    }
    let keep = |handles: &mut Vec<Handle>| {
        let now = proc.bpf_descriptors(pid).unwrap_or_default();
        let now: FxHashSet<_> = now.iter().map(|d| (id(d), d.fd)).collect();
        handles.retain(|h| h.fds.iter().all(|&fd| now.contains(&(h.object, fd))));
        Ok::<_, ExplainError>(())
    };
    let held = go.owners(listed.iter().map(handle).collect(), keep)?;
    stayed(proc, &target)?;
    let mut cannot_see = vec![cannot_count(&error)];
    if options.duration > Duration::ZERO || options.recording.is_some() {
        cannot_see.push(CannotSee {
            what: "whether they grow".into(),
            why: "handles were listed once, and without names".into(),
            needs: needs(&error),
        });
    }
    let case = Case {
        accounts: &[],
        described: listed.iter().map(described).collect(),
        growth: vec![],
        memory: None,
        cannot_see,
        profile,
    };
    Ok(case.report(proc, &target, held, go))
}

/// Each descriptor is taken for a handle of its own: whether two share a file is not told.
fn handle(descriptor: &BpfDescriptor) -> Handle {
    Handle {
        object: id(descriptor),
        addr: None,
        fds: vec![descriptor.fd],
        others: vec![],
        iterator: false,
        thread: None,
    }
}

fn id(descriptor: &BpfDescriptor) -> ObjectId {
    ObjectId {
        kind: descriptor.kind,
        id: descriptor.id,
    }
}

fn described(descriptor: &BpfDescriptor) -> (ObjectId, Described) {
    let type_name = match (descriptor.kind, descriptor.type_number) {
        (Kind::Map, Some(number)) => names::map_type(number),
        (Kind::Prog, Some(number)) => names::prog_type(number),
        _ => "?".into(),
    };
    let described = Described {
        name: "".into(),
        type_name: type_name.into(),
    };
    (id(descriptor), described)
}

fn needs(error: &Error) -> String {
    let Error::Kernel(kernel) = error;
    kernel.needs().as_str().into()
}

fn cannot_count(error: &Error) -> CannotSee {
    CannotSee {
        what: "names of objects, their references, who else holds them, which descriptors share a file"
            .into(),
        why: error.to_string(),
        needs: needs(error),
    }
}
