//! What the machine is told to do: a text file in its initramfs, read by `vm-init`.
//!
//! One `key value` pair a line. `command` starts a command, the lines after it belong to it. Values run to the end of the line.

use anyhow::{Result, ensure};
use std::fmt::Write as _;
use std::time::Duration;

/// Where `vm-init` looks for the plan.
pub const PATH: &str = "/lastref-vm/plan";

/// One command to run in the machine.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// After this long everything it started is killed.
    pub timeout: Duration,
    /// Or after it wrote nothing for so long.
    pub silence: Duration,
}

/// All that one boot does, in order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Kernel modules to load first, by their path in the machine, dependencies before dependents.
    pub modules: Vec<String>,
    /// The whole environment of every command.
    pub env: Vec<(String, String)>,
    /// The commands. What one leaves running is killed before the next starts.
    pub commands: Vec<Command>,
}

impl Plan {
    /// The file's content. `nonce` marks the lines that `vm-init` mixes into the output.
    pub fn to_text(&self, nonce: &str) -> Result<String> {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| -> Result<()> {
            ensure!(
                !value.contains(['\n', '\0']),
                "{key} {value:?}: a newline cannot be passed into the machine"
            );
            writeln!(text, "{key} {value}")?;
            Ok(())
        };
        line("nonce", nonce)?;
        for (key, value) in &self.env {
            line("env", &format!("{key}={value}"))?;
        }
        for module in &self.modules {
            line("module", module)?;
        }
        for command in &self.commands {
            line("command", &command.timeout.as_secs().max(1).to_string())?;
            line("silence", &command.silence.as_secs().max(1).to_string())?;
            line("cwd", &command.cwd)?;
            for arg in &command.argv {
                line("arg", arg)?;
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_one_pair_a_line() {
        let plan = Plan {
            modules: vec!["/m/veth.ko".into()],
            env: vec![("A".into(), "b c".into())],
            commands: vec![Command {
                cwd: "/".into(),
                argv: vec!["/bin/x".into(), String::new()],
                timeout: Duration::from_secs(5),
                silence: Duration::from_secs(4),
            }],
        };
        assert_eq!(
            plan.to_text("77").unwrap(),
            "nonce 77\nenv A=b c\nmodule /m/veth.ko\ncommand 5\nsilence 4\ncwd /\narg /bin/x\narg \n"
        );
    }

    #[test]
    fn a_newline_is_refused() {
        let plan = Plan {
            modules: vec!["/a\nb".into()],
            ..Plan::default()
        };
        assert!(plan.to_text("1").is_err());
    }
}
