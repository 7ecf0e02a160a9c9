//! Whether a heap profile that somebody took is of the process that is looked at.

use super::ExplainError;
use super::target::{Runs, Target, without_deleted};
use explain::evidence::{ProfiledStack, Why};
use gobinary::Executable;
use model::escape_controls;
use model::units::duration;
use process::Proc;
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A heap profile that somebody took, and what it says of its program.
#[derive(Debug, Default)]
pub struct GivenProfile {
    /// Where the program allocates.
    pub stacks: Vec<ProfiledStack>,
    /// The program, by the path it saw itself.
    pub executable: Option<String>,
    /// The GNU build id of the file that had that path then.
    pub build_id: Option<String>,
    /// When it was taken: nanoseconds since 1970, UTC.
    pub taken: Option<i64>,
}

/// The program of the process, in the same terms.
#[derive(Debug, Default)]
struct Program {
    /// Its path, without what the kernel adds when it is gone.
    executable: Option<String>,
    /// Its file was removed or replaced.
    replaced: bool,
    build_id: BuildId,
    /// When the process began: seconds since 1970.
    began: Option<f64>,
}

/// The GNU build id of an executable.
#[derive(Debug, Default, PartialEq, Eq)]
enum BuildId {
    Is(String),
    /// It has none.
    None,
    /// Its file could not be read.
    #[default]
    Unread,
}

/// What is to be said of a profile beside its stacks, if it may be of this process.
///
/// # Errors
/// It is of another program.
pub fn compare(
    profile: &GivenProfile,
    proc: &Proc,
    target: &Target,
) -> Result<Vec<Why>, ExplainError> {
    let executable = target.exe.as_deref();
    let program = Program {
        replaced: executable.is_some_and(|exe| without_deleted(exe) != exe),
        executable: executable.map(|exe| without_deleted(exe).to_owned()),
        build_id: build_id(proc, target),
        began: target.start_ticks.map(began),
    };
    against(profile, &program).map_err(|why| ExplainError::OtherProfile {
        pid: target.pid,
        why,
    })
}

fn build_id(proc: &Proc, target: &Target) -> BuildId {
    let of = |file: &File| match Executable::open(file).map(|program| program.gnu_build_id()) {
        Ok(Some(id)) => BuildId::Is(id),
        Ok(None) => BuildId::None,
        Err(_) => BuildId::Unread,
    };
    if let Runs::Go(program) = &target.runs {
        return of(&program.file);
    }
    proc.executable(target.pid)
        .map_or(BuildId::Unread, |file| of(&file))
}

/// When a process began that `/proc/PID/stat` says began then: seconds since 1970. It moves with the clock that tells the time of day.
fn began(start_ticks: u64) -> f64 {
    /// A second (`USER_HZ`).
    const TICKS: f64 = 100.0;
    let since_boot = clock_gettime(ClockId::Boottime);
    let since_boot = since_boot.tv_sec as f64 + since_boot.tv_nsec as f64 / 1e9;
    let age = since_boot - start_ticks as f64 / TICKS;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() - age
}

fn against(profile: &GivenProfile, program: &Program) -> Result<Vec<Why>, String> {
    let mut says: Vec<Why> = Vec::new();
    if let Some(doubt) = doubt(profile, program)? {
        says.push(doubt.into());
    }
    if let (Some(taken), Some(began)) = (profile.taken, program.began) {
        /// Clocks are set meanwhile.
        const SLACK: f64 = 2.0;
        let before = began - taken as f64 / 1e9;
        if before > SLACK {
            let before = duration(before);
            says.push(
                format!(
                    "taken {before} before this process began: it is of an earlier one, and tells where this one may allocate"
                )
                .into(),
            );
        }
    }
    Ok(says)
}

/// Why it is not sure that the profile is of this program; or, as an error, why it is not.
fn doubt(profile: &GivenProfile, program: &Program) -> Result<Option<String>, String> {
    let known = profile.executable.as_deref().filter(|path| is_a_path(path));
    let theirs = known.map_or_else(|| "a program".into(), escape_controls);
    let ours = program.executable.as_deref();
    let ours_named = ours.map_or_else(|| "a program".into(), escape_controls);
    if let (Some(theirs), BuildId::Is(ours)) = (&profile.build_id, &program.build_id)
        && theirs.eq_ignore_ascii_case(ours)
    {
        return Ok(None);
    }
    let names_differ = match (known, ours) {
        (Some(theirs), Some(ours)) => file_name(theirs) != file_name(ours),
        _ => false,
    };
    if names_differ {
        return Err(format!("it is of {theirs}; this process runs {ours_named}"));
    }
    let why = match (&profile.build_id, &program.build_id) {
        // The runtime reads the id of whatever file has the name when the profile is taken.
        (Some(_), BuildId::Is(_) | BuildId::None) if program.replaced => {
            "its file was replaced, and the build id may be that of the new one"
        }
        (Some(id), BuildId::Is(ours_id)) => {
            let id = escape_controls(id);
            return Err(format!(
                "it is of another build of {theirs} (build id {id}; this process runs {ours_id})"
            ));
        }
        (Some(id), BuildId::None) => {
            let id = escape_controls(id);
            return Err(format!(
                "it is of another build of {theirs} (build id {id}; what this process runs has none)"
            ));
        }
        (Some(_), BuildId::Unread) => "the executable of the process may not be read",
        (None, _) => "the profile has no build id, which Go's linker writes since Go 1.24",
    };
    Ok(Some(match (known, ours) {
        (Some(_), Some(_)) => format!(
            "of a program with the same name; whether it is of this build is not known: {why}"
        ),
        _ => format!("whether it is of this program is not known: {why}"),
    }))
}

/// What may be mapped first instead of the program: `[vdso]`, `/anon_hugepage`.
fn is_a_path(path: &str) -> bool {
    path.starts_with('/') && path != "/anon_hugepage"
}

fn file_name(path: &str) -> Option<&std::ffi::OsStr> {
    Path::new(path).file_name()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(executable: &str, build_id: &str, taken: i64) -> GivenProfile {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        GivenProfile {
            stacks: vec![],
            executable: some(executable),
            build_id: some(build_id),
            taken: Some(taken * 1_000_000_000),
        }
    }

    fn program(build_id: BuildId) -> Program {
        Program {
            executable: Some("/usr/bin/agent".into()),
            replaced: false,
            build_id,
            began: Some(1_000.0),
        }
    }

    #[test]
    fn of_this_program_or_of_another() {
        let known = program(BuildId::Is("1487ab".into()));
        // Wherever it saw itself.
        for path in [
            "/usr/bin/agent",
            "/app/agent",
            "/app/agent.old",
            "",
            "[vdso]",
        ] {
            let says = against(&profile(path, "1487AB", 1_001), &known);
            assert_eq!(says, Ok(vec![]), "{path}");
        }
        for (path, id, why) in [
            (
                "/usr/bin/agent",
                "1488",
                "another build of /usr/bin/agent (build id 1488",
            ),
            (
                "/usr/bin/other",
                "1488",
                "of /usr/bin/other; this process runs /usr/bin/agent",
            ),
            ("/usr/bin/other", "", "of /usr/bin/other; this process runs"),
            ("/anon_hugepage", "1488", "another build of a program"),
        ] {
            let told = against(&profile(path, id, 1_001), &known).expect_err("it is another");
            assert!(told.contains(why), "{path} {id}: {told}");
        }
        let without = program(BuildId::None);
        let told = against(&profile("/bin/agent", "1488", 1_001), &without);
        assert!(told.is_err_and(|why| why.contains("has none")));
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let replaced = Program {
            replaced: true,
            ..program(BuildId::Is("1487ab".into()))
        };
        for (path, id, program, why) in [
            (
                "/bin/agent",
                "",
                &program(BuildId::Is("1487ab".into())),
                "the profile has no build id",
            ),
            (
                "/bin/agent",
                "",
                &program(BuildId::Unread),
                "the profile has no build id",
            ),
            (
                "/bin/agent",
                "1488",
                &program(BuildId::Unread),
                "may not be read",
            ),
            ("/bin/agent", "1488", &replaced, "was replaced"),
            (
                "",
                "",
                &program(BuildId::None),
                "whether it is of this program",
            ),
        ] {
            let says = against(&profile(path, id, 1_001), program).expect("it may be");
            assert!(
                says.len() == 1 && says[0].contains(why),
                "{path} {id}: {says:?}"
            );
        }
    }

    #[test]
    fn what_is_older_than_the_process_is_said() {
        let known = program(BuildId::Is("14".into()));
        let at = |taken| against(&profile("/bin/agent", "14", taken), &known).expect("it is of it");
        assert!(at(1_000).is_empty() && at(999).is_empty() && at(5_000).is_empty());
        let says = at(900);
        assert!(
            says.len() == 1 && says[0].starts_with("taken 1 m 40 s before"),
            "{says:?}"
        );
        let unknown = GivenProfile {
            taken: None,
            ..profile("/bin/agent", "14", 0)
        };
        assert_eq!(against(&unknown, &known), Ok(vec![]));
    }
}
