//! `lastref ls`

use crate::args::LsArgs;
use crate::exit::{self, Answer, Usage};
use crate::{diff, fail, filter, from, output};
use ledger::Ledger;
use model::{ListReport, Snapshot};
use session::Sweeper;
use std::path::Path;

pub fn run(args: &LsArgs) -> anyhow::Result<Answer> {
    if let Some(files) = &args.diff {
        return diff::run(args, files);
    }
    fail::check_one_report(&args.fail_on)?;
    let (snapshot, ledger, mut filters) = match &args.from {
        Some(file) => recorded(args, file)?,
        None => live(args)?,
    };
    let partial = args.common.strict && !snapshot.cannot_see.is_empty();
    let keep = filter::keep(args, ledger.objects());
    let mut objects = ledger.into_objects();
    // The text says how many of our own are hidden.
    let own = args.own || !args.common.is_json();
    objects.retain(|o| keep(o) && (own || !o.facts.own));
    let sort = args.sort.unwrap_or(view::Sort::Id);
    view::sort(&mut objects, sort);
    fail::warn_unjudged(&args.fail_on, objects.iter().filter(|o| !o.facts.own));
    let mut shown = objects.iter().filter(|o| args.own || !o.facts.own);
    let found = shown.any(|o| fail::fails_any(&args.fail_on, o));

    filters.extend(filter::words(args));
    let report = ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot,
        filters,
        objects,
    };
    if args.common.is_json() {
        output::json(&report)?;
    } else {
        let options = options(args, !report.filters.is_empty());
        output::print(|out| view::list(&report, &options, &output::style(), out))?;
    }
    exit::leave(report);
    Ok(Answer::of(partial, found))
}

fn live(args: &LsArgs) -> anyhow::Result<(Snapshot, Ledger, Vec<String>)> {
    filter::check(args, std::iter::empty())?;
    let mut sweeper = Sweeper::new()?;
    if let Some(pid) = args.pid
        && let Err(error) = sweeper.proc().describe(pid)
        && error.is_gone()
    {
        return Err(Usage(error.to_string()).into());
    }
    let sweep = sweeper.sweep()?;
    exit::leave(sweeper);
    Ok((sweep.snapshot, sweep.ledger, vec![]))
}

fn recorded(args: &LsArgs, file: &Path) -> anyhow::Result<(Snapshot, Ledger, Vec<String>)> {
    let opened = from::open(file)?;
    filter::check(args, opened.ledger.objects().iter())?;
    Ok((opened.snapshot, opened.ledger, opened.filters))
}

/// How the text is to look.
pub fn options(args: &LsArgs, filtered: bool) -> view::ListOptions {
    view::ListOptions {
        grouped: match (args.group, args.no_group) {
            (true, _) => view::Grouping::Always,
            (_, true) => view::Grouping::Never,
            _ => view::Grouping::Auto,
        },
        sort: args.sort,
        show_own: args.own,
        filtered,
    }
}
