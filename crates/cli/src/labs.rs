//! `lastref lab`

use crate::args::{LabArgs, LabChildArgs};
use crate::exit::{Answer, Usage};

pub fn run(args: &LabArgs) -> anyhow::Result<Answer> {
    let _ = args;
    Err(Usage("no scenario yet".into()).into())
}

pub fn child(args: &LabChildArgs) -> anyhow::Result<Answer> {
    let _ = args;
    Err(Usage("no scenario yet".into()).into())
}
