//! Why a walk could not be made, and what it would take.

use std::io;

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// `CAP_BPF` and `CAP_PERFMON` (or root).
    Capabilities,
    /// The same, or more memory to lock: before 5.11 a BPF object's memory counts
    /// against `RLIMIT_MEMLOCK`, and the answer to both is the same.
    LockedMemory,
    /// A sysfs at `/sys`, where the kernel's BTF is.
    Sysfs,
    /// `/sys/kernel/btf/vmlinux`: a kernel built with `CONFIG_DEBUG_INFO_BTF`.
    KernelBtf,
    /// BPF iterators: Linux 5.8 with `CONFIG_BPF_EVENTS`.
    Iterators,
    /// Something else; the message says it.
    Other,
}

impl Needs {
    /// As in `cannot_see` and in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "CAP_BPF and CAP_PERFMON (or root)",
            Self::LockedMemory => {
                "CAP_BPF and CAP_PERFMON (or root), and on this kernel enough memory to lock \
                 (ulimit -l unlimited, or CAP_SYS_RESOURCE)"
            }
            Self::Sysfs => "a sysfs (mount -t sysfs sysfs /sys)",
            Self::KernelBtf => {
                "a kernel with BTF (CONFIG_DEBUG_INFO_BTF=y, /sys/kernel/btf/vmlinux)"
            }
            Self::Iterators => "kernel ≥ 5.8 with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS",
            Self::Other => "nothing that lastref knows of",
        }
    }
}

/// Why a walk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused the programs.
    #[error("the kernel does not load lastref's BPF iterators")]
    Load {
        /// What it would take.
        needs: Needs,
        /// The kernel's or libbpf's answer.
        source: io::Error,
        /// What libbpf and the verifier said, last lines.
        log: String,
    },
    /// A walk began and did not end.
    #[error("the walk over {walk} failed")]
    Walk {
        /// Which one.
        walk: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Our own descriptors do not look as they should, so nothing can be recognised.
    #[error("calibration on lastref's own descriptors failed: {0}")]
    Calibration(&'static str),
}

impl Error {
    /// The last lines of what libbpf and the verifier said, where privilege is
    /// not the reason: they say what is wrong with the programs, or the kernel.
    pub fn log(&self) -> Option<String> {
        const LINES: usize = 12;
        match self {
            Self::Load {
                needs: Needs::Other,
                log,
                ..
            } if !log.is_empty() => {
                let lines: Vec<_> = log.lines().collect();
                Some(lines[lines.len().saturating_sub(LINES)..].join("\n"))
            }
            _ => None,
        }
    }

    /// What it would take.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Load { needs, .. } => *needs,
            Self::Walk { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Needs::Capabilities
            }
            Self::Walk { .. } | Self::Calibration(_) => Needs::Other,
        }
    }
}
