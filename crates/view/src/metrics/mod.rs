//! `lastref watch --metrics`: a page of `OpenMetrics` text.
//!
//! ```text
//! families   the table: name, type, unit, help, and where its samples come from
//! series     whose handles have labels of their own, and who is summed into `other`
//! ```
//!
//! The same bytes go to Prometheus and to `node_exporter`'s textfile collector. That one reads the older
//! text format, in which `# UNIT` and `# EOF` are comments, but knows no type `info` or `stateset`:
//! there are only gauges and counters here.
//!
//! What is not known is not there: an absent sample says so, and a 0 would not. How many samples there
//! can be does not depend on the host ([`series`]); names that others chose are escaped, and cut.

mod families;
mod series;
#[cfg(test)]
mod tests;

use families::FAMILIES;
use model::{Metrics, escape_controls};
use series::Shown;
use std::fmt::Write as _;

/// The `Content-Type` of the page.
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names and values, in the order in which they are written. A label without a value is none.
type Labels = Vec<(&'static str, String)>;

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Count(u64),
    Real(f64),
}

type Samples = Vec<(Labels, Value)>;

/// The page.
pub fn metrics(metrics: &Metrics<'_>) -> String {
    let shown = Shown::choose(metrics);
    let mut page = String::with_capacity(16 << 10);
    for family in FAMILIES {
        let samples = (family.samples)(metrics, &shown);
        let known =
            |(_, value): &&(Labels, Value)| !matches!(value, Value::Real(n) if !n.is_finite());
        let mut samples = samples.iter().filter(known).peekable();
        if samples.peek().is_none() {
            continue;
        }
        let name = family.name;
        let (sort, suffix) = if family.counter {
            ("counter", "_total")
        } else {
            ("gauge", "")
        };
        let _ = writeln!(page, "# TYPE {name} {sort}");
        if let Some(unit) = family.unit {
            let _ = writeln!(page, "# UNIT {name} {unit}");
        }
        let _ = writeln!(page, "# HELP {name} {}", family.help);
        for (labels, value) in samples {
            page.push_str(name);
            page.push_str(suffix);
            write_labels(&mut page, labels);
            let _ = match value {
                Value::Count(n) => writeln!(page, " {n}"),
                Value::Real(n) => writeln!(page, " {n}"),
            };
        }
    }
    page.push_str("# EOF\n");
    page
}

fn write_labels(page: &mut String, labels: &Labels) {
    let mut before = '{';
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        page.push(before);
        page.push_str(name);
        page.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => page.push_str("\\\\"),
                '"' => page.push_str("\\\""),
                '\n' => page.push_str("\\n"),
                c => page.push(c),
            }
        }
        page.push('"');
        before = ',';
    }
    if before == ',' {
        page.push('}');
    }
}

/// Characters of a label's value. A pin's path may have thousands.
const LONGEST: usize = 128;

/// A name that somebody else chose: safe on a terminal too, where a page may be looked at.
fn label(text: &str) -> String {
    let mut text = escape_controls(text);
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
