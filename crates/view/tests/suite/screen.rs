//! Reports as text, without colour.

use model::{DiffReport, ExplainReport, ListReport, WhyReport};
use view::{ListOptions, Style};

fn plain(width: usize, write: impl FnOnce(&Style, &mut Vec<u8>) -> std::io::Result<()>) -> String {
    let style = Style {
        width,
        colour: false,
    };
    let mut out = vec![];
    write(&style, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

pub fn list(report: &ListReport, options: ListOptions, width: usize) -> String {
    plain(width, |style, out| view::list(report, &options, style, out))
}

/// The rows of a list, without what is said below them.
pub fn table(report: &ListReport, options: ListOptions, width: usize) -> String {
    let text = list(report, options, width);
    text.split("\n\n").next().expect("a table").to_owned() + "\n"
}

pub fn diff(report: &DiffReport, options: ListOptions, width: usize) -> String {
    plain(width, |style, out| view::diff(report, &options, style, out))
}

pub fn why(report: &WhyReport, width: usize) -> String {
    plain(width, |style, out| view::why(report, style, out))
}

pub fn explain(report: &ExplainReport, width: usize) -> String {
    plain(width, |style, out| view::explain(report, style, out))
}

/// All of these stand in the text.
pub fn check_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}
