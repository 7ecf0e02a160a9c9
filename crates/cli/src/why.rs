//! `lastref why`

use crate::args::WhyArgs;
use crate::exit::{Answer, Usage};
use crate::{ls, output};
use anyhow::Context as _;
use model::WhyReport;
use session::Sweeper;

/// So many chains are listed at most.
const CHAINS: usize = 1000;

pub fn run(args: &WhyArgs) -> anyhow::Result<Answer> {
    session::check(&args.object).map_err(|error| Usage(error.to_string()))?;
    let mut sweeper = Sweeper::new()?;
    let sweep = sweeper.sweep()?;
    let id = match session::resolve(&sweep, sweeper.proc(), &args.object) {
        Ok(id) => id,
        Err(error @ session::NameError::Unseen { .. }) => return Err(error.into()),
        Err(error) => return Err(Usage(error.to_string()).into()),
    };
    let object = sweep.ledger.get(id).context("the object is gone")?.clone();
    let chains = sweep.ledger.chains(id, CHAINS);
    let plan = sweep.ledger.release_plan(id);
    let partial = args.common.strict && !sweep.snapshot.cannot_see.is_empty();
    ls::warn_unjudged(&args.fail_on, std::iter::once(&object));
    let found = ls::fails_any(&args.fail_on, &object);

    let report = WhyReport {
        schema: WhyReport::SCHEMA.into(),
        snapshot: sweep.snapshot,
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
