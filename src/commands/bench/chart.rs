//! Two panels under each other: rate, and memory, against the number of items.

use plotters::prelude::*;

use crate::cli::Failure;

const SIZE: (u32, u32) = (900, 760);
const MIB: f64 = (1 << 20) as f64;
/// What the two lines of memory are of.
const PARTS: [(&str, RGBColor); 2] =
    [("collator", RGBColor(196, 78, 82)), ("submitter", RGBColor(85, 168, 104))];
const RATE: RGBColor = RGBColor(76, 114, 176);

/// What one number of items came to.
pub(super) struct Point {
    pub(super) items: f64,
    /// Items a second.
    pub(super) rate: f64,
    /// Bytes of the collator and of the submitter.
    pub(super) memory: [u64; 2],
}

/// A line and its name.
struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// The chart as the text of an SVG file.
pub(super) fn svg(points: &[Point]) -> Result<String, Failure> {
    let rate = vec![Line {
        name: "items a second",
        colour: RATE,
        points: points.iter().map(|point| (point.items, point.rate)).collect(),
    }];
    let memory = PARTS.iter().enumerate().map(|(part, (name, colour))| Line {
        name,
        colour: *colour,
        points: points.iter().map(|p| (p.items, p.memory[part] as f64 / MIB)).collect(),
    });
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(undrawn)?;
    let (upper, lower) = area.split_vertically(SIZE.1 / 2);
    panel(&upper, "Rate, items a second", &rate)?;
    panel(&lower, "Most memory, MiB", &memory.collect::<Vec<_>>())?;
    area.present().map_err(undrawn)?;
    drop((upper, lower, area));
    Ok(text)
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    title: &str,
    lines: &[Line],
) -> Result<(), Failure>
where
    B::ErrorType: 'static,
{
    let all = || lines.iter().flat_map(|line| &line.points);
    let most = all().map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let first = all().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let last = all().map(|(x, _)| *x).fold(first * 10.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .margin_right(36)
        .x_label_area_size(38)
        .y_label_area_size(76)
        .build_cartesian_2d((first..last).log_scale(), 0.0..most)
        .map_err(undrawn)?;
    chart
        .configure_mesh()
        .x_desc("items")
        .x_label_formatter(&|x| super::figures::whole(*x))
        .y_label_formatter(&|y| super::figures::whole(*y))
        .light_line_style(WHITE)
        .draw()
        .map_err(undrawn)?;
    for Line { name, colour, points } in lines {
        let (style, colour) = (colour.stroke_width(2), *colour);
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), style));
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
        line.map_err(undrawn)?.label(*name).legend(legend);
        let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots).map_err(undrawn)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(undrawn)
}

fn undrawn(error: impl std::error::Error) -> Failure {
    Failure::new(format!("the chart can't be drawn: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_both_panels_and_a_dot_for_every_step() {
        let point = |items| Point { items, rate: items * 2.0, memory: [1 << 24, 1 << 23] };
        let chart = svg(&[point(1.0), point(10.0), point(100.0)]).unwrap();
        assert!(chart.contains("Rate, items a second") && chart.contains("Most memory, MiB"));
        assert_eq!(chart.matches("<circle").count(), 9);
        svg(&[point(1.0)]).unwrap();
    }
}
