//! What stands under every screen: what could not be seen, and the sweep.

use crate::screen::{Paint, Screen};
use crate::units;
use model::{CannotSee, PidNamespace, Snapshot};
use std::fmt::Write as _;
use std::io::{self, Write};

/// `cannot see` lines.
pub fn cannot_see<W: Write>(screen: &mut Screen<'_, W>, snapshot: &Snapshot) -> io::Result<()> {
    blind(screen, &snapshot.cannot_see)
}

/// The same of a list.
pub fn blind<W: Write>(screen: &mut Screen<'_, W>, cannot_see: &[CannotSee]) -> io::Result<()> {
    for (at, blind) in cannot_see.iter().enumerate() {
        let label = if at == 0 { "cannot see" } else { "" };
        let mut text = blind.what.clone();
        if !blind.why.is_empty() {
            let _ = write!(text, ": {}", blind.why);
        }
        if !blind.needs.is_empty() {
            let _ = write!(text, "; needs {}", blind.needs);
        }
        screen.labelled(label, Paint::Yellow, &text)?;
    }
    Ok(())
}

/// The sweep in one line: how many passes, how long, on what.
pub fn sweep<W: Write>(
    screen: &mut Screen<'_, W>,
    snapshot: &Snapshot,
    also: Option<String>,
) -> io::Result<()> {
    let mut text = format!(
        "{} in {}",
        units::counted(u64::from(snapshot.passes), "pass", "passes"),
        units::duration(snapshot.seconds)
    );
    if !snapshot.staged_walks.is_empty() {
        let _ = write!(text, ", also walked {}", snapshot.staged_walks.join(", "));
    }
    let _ = write!(text, "; kernel {}, {}", snapshot.kernel, snapshot.time);
    if snapshot.pid_namespace == PidNamespace::Child {
        text.push_str("; from a child pid namespace");
    }
    if let Some(also) = also {
        let _ = write!(text, "; {also}");
    }
    screen.labelled("sweep", Paint::Dim, &text)
}
