//! `lastref ls --diff BEFORE AFTER`

use crate::args::LsArgs;
use crate::exit::{Answer, Usage};
use crate::{fail, filter, from, ls, output};
use from::Opened;
use model::{ListReport, Object};
use std::path::{Path, PathBuf};

pub fn run(args: &LsArgs, files: &[PathBuf]) -> anyhow::Result<Answer> {
    let [before, after] = files else {
        return Err(Usage("--diff compares two files".into()).into());
    };
    if from::is_stdin(before) && from::is_stdin(after) {
        let text = "--diff - -: standard input has one report; write the other to a file";
        return Err(Usage(text.into()).into());
    }
    // Both are looked at before either is judged: the message may be about the second.
    let (a, b) = (from::open(before)?, from::open(after)?);
    check_filters((before, &a), (after, &b))?;
    let both = a.ledger.objects().iter().chain(b.ledger.objects());
    filter::check(args, both)?;
    warn_of_order((before, &a), (after, &b));

    let (keep_a, keep_b) = (
        filter::keep(args, a.ledger.objects()),
        filter::keep(args, b.ledger.objects()),
    );
    let own = |o: &Object| args.own || !o.facts.own;
    let keep_a = |o: &Object| own(o) && keep_a(o);
    let keep_b = |o: &Object| own(o) && keep_b(o);
    let judged = b.ledger.objects().iter().filter(|o| keep_b(o));
    fail::warn_unjudged(&args.fail_on, judged.filter(|o| !o.facts.own));
    let filtered = !a.filters.is_empty() || !filter::words(args).is_empty();
    let mut report = ledger::diff(list(a), list(b), &keep_a, &keep_b);
    let sort = args.sort.unwrap_or(view::Sort::Id);
    view::sort(&mut report.appeared, sort);
    view::sort(&mut report.vanished, sort);

    let blind = |snapshot: &model::Snapshot| !snapshot.cannot_see.is_empty();
    let partial = args.common.strict && (blind(&report.before) || blind(&report.after));
    let found = fail::fails_diff(&args.fail_on, &report);
    if args.common.is_json() {
        output::json(&report)?;
    } else {
        let options = ls::options(args, filtered);
        output::print(|out| view::diff(&report, &options, &output::style(), out))?;
    }
    Ok(Answer::of(partial, found))
}

fn list(opened: Opened) -> ListReport {
    ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot: opened.snapshot,
        filters: opened.filters,
        objects: opened.ledger.into_objects(),
    }
}

/// What only one of the reports leaves out would seem to have appeared or vanished.
fn check_filters(a: (&Path, &Opened), b: (&Path, &Opened)) -> Result<(), Usage> {
    let sorted = |opened: &Opened| {
        let mut filters = opened.filters.clone();
        filters.sort_unstable();
        filters.dedup();
        filters
    };
    let (in_a, in_b) = (sorted(a.1), sorted(b.1));
    if in_a == in_b {
        return Ok(());
    }
    let words = |filters: &[String]| match filters {
        [] => "all objects".to_owned(),
        some => format!("`{}`", some.join(" ")),
    };
    Err(Usage(format!(
        "the reports cannot be compared: {} lists {}, {} {}; write both with the same options, or \
         both without and narrow the difference",
        from::name(a.0),
        words(&in_a),
        from::name(b.0),
        words(&in_b)
    )))
}

/// Growth the wrong way round is none.
fn warn_of_order(a: (&Path, &Opened), b: (&Path, &Opened)) {
    let (before, after) = (&a.1.snapshot, &b.1.snapshot);
    // RFC 3339 in UTC sorts as text.
    if before.boot_id == after.boot_id && before.time > after.time {
        let text = format!(
            "{} is the later report ({}): should it stand second?",
            from::name(a.0),
            before.time
        );
        eprintln!("lastref: {}", model::escape_controls(&text));
    }
}
