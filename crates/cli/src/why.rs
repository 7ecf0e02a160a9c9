//! `lastref why`

use crate::args::WhyArgs;
use crate::exit::{self, Answer, Usage};
use crate::{fail, from, output};
use anyhow::Context as _;
use ledger::{Ledger, Name, Place};
use model::{CannotSee, ObjectId, Snapshot, WhyReport};
use session::Sweeper;
use std::path::Path;

/// So many chains are listed at most.
const CHAINS: usize = 1000;

pub fn run(args: &WhyArgs) -> anyhow::Result<Answer> {
    fail::check_one_report(&args.fail_on)?;
    let name = Name::parse(&args.object).map_err(|error| Usage(error.to_string()))?;
    let (snapshot, ledger, id) = match &args.from {
        Some(file) => recorded(name, file)?,
        None => live(&args.object)?,
    };
    let object = ledger.get(id).context("the object is gone")?.clone();
    let chains = ledger.chains(id, CHAINS);
    let plan = ledger.release_plan(id);
    let partial = args.common.strict && !snapshot.cannot_see.is_empty();
    fail::warn_unjudged(&args.fail_on, std::iter::once(&object));
    let found = fail::fails_any(&args.fail_on, &object);
    exit::leave(ledger);

    let report = WhyReport {
        schema: WhyReport::SCHEMA.into(),
        snapshot,
        object,
        chains: chains.chains,
        chains_cut: chains.cut,
        to_release: plan.steps,
        caveats: plan.caveats,
    };
    if args.common.is_json() {
        output::json(&report)?;
    } else {
        output::print(|out| view::why(&report, &output::style(), out))?;
    }
    Ok(Answer::of(partial, found))
}

fn live(words: &str) -> anyhow::Result<(Snapshot, Ledger, ObjectId)> {
    let mut sweeper = Sweeper::new()?;
    let sweep = sweeper.sweep()?;
    let id = match session::resolve(&sweep, sweeper.proc(), words) {
        Ok(id) => id,
        Err(error @ session::NameError::Unseen { .. }) => return Err(error.into()),
        Err(error) => return Err(Usage(error.to_string()).into()),
    };
    exit::leave(sweeper);
    Ok((sweep.snapshot, sweep.ledger, id))
}

fn recorded(name: Name<'_>, file: &Path) -> anyhow::Result<(Snapshot, Ledger, ObjectId)> {
    let mut opened = from::open(file)?;
    let place = Place::Report {
        name: from::name(file),
        file: file.display().to_string(),
    };
    let id = opened.ledger.named(name, &place);
    let id = id.map_err(|error| Usage(error.to_string()))?;
    if !opened.filters.is_empty() {
        opened.snapshot.cannot_see.push(CannotSee {
            what: "objects that the report leaves out, and what holds or keeps them".into(),
            why: format!("it was written with `{}`", opened.filters.join(" ")),
            needs: "a report of all objects".into(),
        });
    }
    Ok((opened.snapshot, opened.ledger, id))
}
