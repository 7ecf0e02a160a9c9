//! Why a scenario could not be run, and what it would take.

use crate::message::Reason;
use crate::prepare::Unready;
use std::io;
use std::process::ExitStatus;

/// What a scenario's child does before it leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Asks to be killed when its parent dies.
    DieWithParent,
    /// Leaves the mount namespace of its parent.
    Unshare,
    /// Stops its mounts from being seen outside.
    Private,
    /// Mounts a bpffs.
    Mount,
    /// Makes a directory in it.
    Directory,
    /// Makes the map.
    Create,
    /// Pins it.
    Pin,
    /// Starts the scenario's program.
    Start,
}

/// Step, code on the pipe, what failed, what it takes if the kernel refuses.
const STEPS: [(Step, &str, &str, &str); 8] = [
    (
        Step::DieWithParent,
        "die",
        "cannot ask to be killed with its parent",
        ADMIN,
    ),
    (
        Step::Unshare,
        "unshare",
        "cannot have a mount namespace of its own",
        ADMIN,
    ),
    (
        Step::Private,
        "private",
        "cannot hide its mounts from the host (is / a mount point?)",
        ADMIN,
    ),
    (
        Step::Mount,
        "mount",
        "cannot mount a bpffs of its own",
        ADMIN,
    ),
    (
        Step::Directory,
        "directory",
        "cannot make a directory in its bpffs",
        ADMIN,
    ),
    (Step::Create, "create", "cannot make a BPF map", BPF),
    (Step::Pin, "pin", "cannot pin its map", BPF),
    (
        Step::Start,
        "start",
        "cannot start the scenario's program",
        ADMIN,
    ),
];
const ADMIN: &str = "CAP_SYS_ADMIN (or root)";
const BPF: &str = "CAP_BPF and CAP_SYS_ADMIN (or root)";
const KERNEL: &str = "a kernel with CONFIG_BPF_SYSCALL";

impl Step {
    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str) {
        let row = STEPS.iter().find(|(step, ..)| *step == self);
        row.unwrap_or(&STEPS[0]) // A test makes sure that every step has its row.
    }

    pub(crate) fn code(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        STEPS.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// What it takes, where the kernel's answer tells.
    fn needs(self, errno: i32) -> Option<&'static str> {
        match errno {
            libc::EPERM | libc::EACCES => Some(self.row().3),
            libc::ENOSYS => Some(KERNEL),
            // The file system is not known.
            libc::ENODEV if self == Self::Mount => Some(KERNEL),
            _ => None,
        }
    }
}

/// Why a scenario could not be run to its end. All that it had made is gone
/// when this is returned, or goes in the next moment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option is outside what is possible.
    #[error("{0}")]
    Option(String),
    /// The child was refused something.
    #[error("the lab's process {}: {}{}", step.row().2, Reason(*errno), taking(self.needs()))]
    Refused {
        /// What it tried.
        step: Step,
        /// The kernel's answer.
        errno: i32,
    },
    /// The child could not be started or followed.
    #[error("the lab's process cannot be {doing}: {errno}")]
    Child {
        /// `started`, `followed`.
        doing: &'static str,
        /// The kernel's answer.
        errno: io::Error,
    },
    /// The scenario's program cannot be had.
    #[error(transparent)]
    Unready(#[from] Unready),
    /// The scenario's program did not do what scenarios do.
    #[error("the scenario's program {0}")]
    Program(String),
    /// The child ended before it leaked anything, or said what no child of ours says.
    #[error("the lab's process ended before it began ({0})")]
    Ended(ExitStatus),
    /// A signal asked to end before there was an answer.
    #[error("interrupted; what the lab had started is ended")]
    Interrupted,
    /// The sources that somebody names cannot be used.
    #[error("{0}")]
    Sources(String),
    /// Of several scenarios none could be run.
    #[error("nothing was run: {0}")]
    NothingRan(String),
    /// Something of the host cannot be read or changed.
    #[error("{what}: {error}")]
    Host {
        /// A path, or what was wanted.
        what: String,
        /// The kernel's answer.
        error: io::Error,
    },
    /// Whether the map is gone could not be found out.
    #[error("whether map:{map_id} is gone from the kernel cannot be found out: {errno}")]
    Verify {
        /// The map.
        map_id: u32,
        /// The kernel's answer.
        errno: io::Error,
    },
    /// The story could not be written; a closed pipe among others. Only for that: a conversion
    /// from any other error would say what is not true.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl Error {
    pub(crate) fn host(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let (what, error) = (what.into(), error.into());
        Self::Host { what, error }
    }

    /// What it would take, if privilege or the kernel is what is missing.
    pub fn needs(&self) -> Option<&str> {
        match self {
            Self::Refused { step, errno } => step.needs(*errno),
            Self::Unready(Unready::Needs(what)) | Self::NothingRan(what) => Some(what),
            _ => None,
        }
    }
}

fn taking(needs: Option<&str>) -> String {
    needs.map_or_else(String::new, |needs| format!("; it takes {needs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_one_row() {
        for (step, code, ..) in STEPS {
            assert_eq!(step.row().0, step);
            assert_eq!(Step::from_code(code), Some(step), "{code}");
            assert!(!code.contains(' '));
        }
        // `match` without a wildcard: a new step does not compile without being looked at here.
        let counted = |step| match step {
            Step::DieWithParent
            | Step::Unshare
            | Step::Private
            | Step::Mount
            | Step::Directory
            | Step::Create
            | Step::Pin
            | Step::Start => 8,
        };
        assert_eq!(counted(Step::Mount), STEPS.len());
    }

    #[test]
    fn a_refusal_says_what_it_takes() {
        let refused = Error::Refused {
            step: Step::Unshare,
            errno: libc::EPERM,
        };
        assert_eq!(
            refused.to_string(),
            "the lab's process cannot have a mount namespace of its own: Operation not permitted \
             (os error 1); it takes CAP_SYS_ADMIN (or root)"
        );
        let other = Error::Refused {
            step: Step::Create,
            errno: libc::ENOMEM,
        };
        assert_eq!(other.needs(), None);
        assert!(!other.to_string().contains("it takes"));
    }
}
