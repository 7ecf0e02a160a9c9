//! Expectations and findings in the same shape, so that a person sees the difference.

use super::{Reference, Target, Tid, Who};
use crate::lastref;
use serde_json::Value;
use std::fmt;

/// One thing a line, indented.
pub(super) fn lines(things: impl Iterator<Item = impl fmt::Display>) -> String {
    let lines: Vec<_> = things.map(|t| format!("    {t}")).collect();
    lines.join("\n")
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process {
                pid,
                tid: Tid::None,
                fds,
            } => write!(f, "process {pid} fds {fds:?}"),
            Self::Process { pid, tid, fds } => write!(f, "process {pid} tid {tid:?} fds {fds:?}"),
            Self::Pin {
                names,
                namespace,
                unlinked,
            } => {
                write!(f, "pin {names:?} namespace {namespace:?}")?;
                f.write_str(if *unlinked { " unlinked" } else { "" })
            }
            Self::Object { kind, id } => f.write_str(&lastref::name(*kind, *id)),
            Self::Attachment {
                target,
                attach_type,
                pids,
            } => {
                let (target, more) = match target {
                    Target::Is(target) => (target, ""),
                    Target::Begins(target) => (target, "…"),
                };
                write!(
                    f,
                    "attachment {target}{more} {attach_type} open by {pids:?}"
                )
            }
            Self::Socket { inode, pids } => write!(f, "socket {inode:?} open by {pids:?}"),
            Self::IoUring { pid, fd, pids } => {
                write!(f, "io_uring {pid:?} fd {fd:?} open by {pids:?}")
            }
            Self::Module(name) => write!(f, "module {name}"),
            Self::Kernel => f.write_str("the kernel"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.count, self.by)?;
        self.holders.iter().try_for_each(|h| write!(f, "  {h}"))
    }
}

/// A reported reference, in the same shape.
pub(super) struct Found<'a>(pub(super) &'a Value);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        write!(
            f,
            "{} × {}",
            found["count"],
            found["by"].as_str().unwrap_or("?")
        )?;
        let holders = found["holders"].as_array().into_iter().flatten();
        holders
            .map(FoundHolder)
            .try_for_each(|h| write!(f, "  {h}"))
    }
}

pub(super) struct FoundHolder<'a>(pub(super) &'a Value);

impl fmt::Display for FoundHolder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(h) = self;
        match h["type"].as_str() {
            Some("process") if h["tid"].is_null() => {
                write!(f, "process {} fds {}", h["pid"], h["fds"])
            }
            Some("process") => write!(f, "process {} tid {} fds {}", h["pid"], h["tid"], h["fds"]),
            Some("pin") => write!(
                f,
                "pin {} also {} namespace {} unlinked {}",
                h["path"], h["also"], h["mount_namespace"], h["unlinked"]
            ),
            Some(kind @ ("map" | "prog" | "link" | "btf")) => write!(f, "{kind}:{}", h["id"]),
            _ => write!(f, "{h}"),
        }
    }
}
