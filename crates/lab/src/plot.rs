//! Draws what came of several values of a parameter.

use crate::vary::{Axis, Row};
use plotters::prelude::*;
use std::collections::BTreeMap;

/// An SVG picture: the first axis from left to right, open descriptors a second upwards, a line
/// for each combination of the other axes. An error is a bug of ours or of the library's.
pub fn svg(title: &str, axes: &[Axis], rows: &[Row]) -> Result<String, String> {
    let mut out = String::new();
    draw(&mut out, title, axes, rows).map_err(|error| error.to_string())?;
    Ok(out)
}

fn draw(
    out: &mut String,
    title: &str,
    axes: &[Axis],
    rows: &[Row],
) -> Result<(), Box<dyn std::error::Error>> {
    const COLOURS: [RGBColor; 6] = [
        RGBColor(0, 90, 160),
        RGBColor(200, 80, 0),
        RGBColor(0, 130, 90),
        RGBColor(150, 60, 150),
        RGBColor(110, 110, 110),
        RGBColor(170, 140, 0),
    ];
    let (first, others) = axes.split_first().ok_or("no axis")?;
    let top = rows.iter().map(Row::open_per_second).fold(1.0, f64::max) * 1.1;
    let last = first.values.len().saturating_sub(1) as f64;
    let area = SVGBackend::with_string(out, (800, 450)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(-0.2..last + 0.2, 0.0..top)?;
    let label = |at: &f64| {
        let nearest = at.round();
        let is_there = (at - nearest).abs() < 1e-6 && nearest >= 0.0;
        let value = first.values.get(nearest as usize).filter(|_| is_there);
        value.cloned().unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(first.values.len().max(2) * 2)
        .x_label_formatter(&label)
        .x_desc(&first.name)
        .y_desc("descriptors left open a second")
        .draw()?;
    let mut lines: BTreeMap<Vec<String>, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows {
        let at = first
            .values
            .iter()
            .position(|value| *value == row.values[0]);
        let point = (at.unwrap_or(0) as f64, row.open_per_second());
        lines
            .entry(row.values[1..].to_vec())
            .or_default()
            .push(point);
    }
    for (n, (values, points)) in lines.into_iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let names = others
            .iter()
            .zip(&values)
            .map(|(axis, value)| format!("{}={value}", axis.name));
        let name: Vec<String> = names.collect();
        chart
            .draw_series(
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4),
            )?
            .label(if name.is_empty() {
                "measured".into()
            } else {
                name.join(", ")
            })
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    if !others.is_empty() {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_its_line() {
        let new = |name: &str, values: &[&str]| Axis {
            name: name.into(),
            values: values.iter().map(|&v| v.to_owned()).collect(),
        };
        let axes = [new("gomaxprocs", &["1", "2"]), new("gogc", &["50", "off"])];
        let rows: Vec<Row> = [["1", "50"], ["1", "off"], ["2", "50"], ["2", "off"]]
            .iter()
            .map(|values| Row {
                values: values.iter().map(|&v| v.to_owned()).collect(),
                steps: 10,
                seconds: 2.0,
                made: 10,
                open: 10,
                stuck: None,
            })
            .collect();
        let picture = svg("a title & more", &axes, &rows).expect("it can be drawn");
        assert!(picture.starts_with("<svg"), "{picture}");
        for text in ["a title &amp; more", "gogc=50", "gogc=off", "gomaxprocs"] {
            assert!(picture.contains(text), "{text}: {picture}");
        }
        assert!(svg("t", &[], &rows).is_err());
    }
}
