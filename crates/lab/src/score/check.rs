//! `lastref check --format json` against the truth of a scenario.

use super::truth::Against;
use super::{Judgement, Says};
use crate::catalog::Scenario;
use serde_json::Value;
use std::collections::BTreeSet;

/// Judges what was found in a scenario's own source.
pub fn judge(scenario: &Scenario, report: &Value) -> Judgement {
    let truths = scenario.manifest.groups.iter().filter_map(|group| {
        let (site, rule) = (
            group.at.as_ref().or(group.site.as_ref())?,
            group.rule.as_deref()?,
        );
        let line = scenario.line(&site.file, &site.mark)?;
        Some((site.file.as_str(), u64::from(line), rule))
    });
    let truths: BTreeSet<(&str, u64, &str)> = truths.collect();
    judge_findings(&truths, report)
}

/// `truths`: file, line, and the name of the rule.
pub(super) fn judge_findings(truths: &BTreeSet<(&str, u64, &str)>, report: &Value) -> Judgement {
    let mut against = Against::default();
    let findings = report["findings"].as_array();
    if findings.is_none() {
        against
            .unknown
            .push("it has no findings, not even none".into());
    }
    // What is only worth a look is no claim.
    let claims = findings
        .into_iter()
        .flatten()
        .filter(|finding| finding["confidence"] != "audit");
    let mut found = BTreeSet::new();
    for claim in claims {
        let text = |field: &str| claim[field].as_str().unwrap_or_default();
        let key = (
            text("file"),
            claim["line"].as_u64().unwrap_or_default(),
            text("name"),
        );
        if truths.contains(&key) {
            found.insert(key);
        } else {
            against
                .wrong
                .push(format!("{}:{}: {}, which is not true", key.0, key.1, key.2));
        }
    }
    let says = if found.is_empty() && against.wrong.is_empty() {
        Says::NoLeak
    } else {
        Says::Leak
    };
    for (file, line, rule) in truths.difference(&found) {
        against
            .unknown
            .push(format!("{file}:{line}: {rule} not found"));
    }
    let expected = format!("{} findings", truths.len());
    Judgement::against(against, expected, says)
}
