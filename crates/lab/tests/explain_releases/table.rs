//! The table of results.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What came of one case.
pub struct Row {
    pub part: &'static str,
    pub scenario: String,
    pub column: String,
    /// All of it, for people.
    pub title: String,
    /// As `lab score` has it: `right`, `wrong`, `unknown`, `not-run`.
    pub result: String,
    pub why: String,
}

impl Row {
    /// `: why`, if there is a why.
    pub fn because(&self) -> String {
        match self.why.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        }
    }
}

/// A table for each part: scenarios down, what is varied across.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut parts: Vec<&str> = rows.iter().map(|row| row.part).collect();
    parts.dedup();
    for part in parts {
        let of_part: Vec<&Row> = rows.iter().filter(|row| row.part == part).collect();
        let mut columns: Vec<&str> = Vec::new();
        let mut lines: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for row in &of_part {
            if !columns.contains(&row.column.as_str()) {
                columns.push(&row.column);
            }
            let line = lines.entry(&row.scenario).or_default();
            line.insert(&row.column, &row.result);
        }
        let right = of_part.iter().filter(|row| row.result == "right").count();
        // A string takes everything.
        let _ = writeln!(text, "## {part}: {right} of {} right\n", of_part.len());
        let _ = writeln!(text, "| scenario | {} |", columns.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len()));
        for (scenario, line) in lines {
            let cells = columns
                .iter()
                .map(|&column| *line.get(column).unwrap_or(&""));
            let cells: Vec<&str> = cells.collect();
            let _ = writeln!(text, "| {scenario} | {} |", cells.join(" | "));
        }
        text.push('\n');
    }
    text
}
