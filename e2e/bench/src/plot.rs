//! The plots of a report: figures against the number of nodes.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement};
use plotters::prelude::IntoLogRange as _;
use plotters::series::LineSeries;
use plotters::style::{Color as _, FontStyle, IntoFont as _, RGBColor, WHITE, register_font};

use super::report::Report;
use super::summary::{Figures, of_size};

const SIZE: (u32, u32) = (1200, 900);

/// Colours that most people can tell apart: Okabe and Ito's. <https://jfly.uni-koeln.de/color/>
const COLORS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(86, 86, 86)];

/// A line: its name, and its figure at each number of nodes.
type Line = (&'static str, fn(&Figures) -> Option<f64>);

/// One plot: its title with the unit, and its lines.
type Panel = (&'static str, &'static [Line]);

const PANELS: [Panel; 4] = [
    (
        "from the last word to the deletion, in ms",
        &[
            ("median", |f| Some(f.detection?.p50 * 1e3)),
            ("p99", |f| Some(f.detection?.p99 * 1e3)),
            ("bare client", |f| Some(f.follow? * 1e3)),
            ("polling", |f| Some(f.polling? * 1e3)),
        ],
    ),
    ("whole Job, in s", &[("Job", |f| f.whole), ("DaemonSet by hand", |f| f.whole_baseline)]),
    (
        "requests of both processes for a Job",
        &[
            ("all", |f| f.requests),
            ("besides those for pods", |f| f.requests_besides),
            ("watch events of all clients", |f| f.watch_events),
        ],
    ),
    (
        "resident memory of both processes, in MiB",
        &[
            ("at the end of a Job", |f| Some(f.resident? / 1024.0 / 1024.0)),
            ("peak", |f| Some(f.peak? / 1024.0 / 1024.0)),
        ],
    ),
];

/// Writes `report.svg` and `report.png`.
pub(super) fn write(report: &Report, folder: &Path) -> Result<()> {
    // Not of the system: a machine may have none, and the plots are to look the same everywhere.
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the font of the plots is broken"))?;
    let mut figures: Vec<Figures> = report.sizes.iter().map(of_size).collect();
    figures.sort_by_key(|figures| figures.nodes);
    let svg = folder.join("report.svg");
    let png = folder.join("report.png");
    draw(&SVGBackend::new(&svg, SIZE).into_drawing_area(), &figures)
        .with_context(|| format!("cannot draw {}", svg.display()))?;
    draw(&BitMapBackend::new(&png, SIZE).into_drawing_area(), &figures)
        .with_context(|| format!("cannot draw {}", png.display()))
}

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, figures: &[Figures]) -> Result<()>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    for (part, panel) in area.split_evenly((2, 2)).iter().zip(&PANELS) {
        draw_panel(part, panel, figures)?;
    }
    area.present()?;
    Ok(())
}

fn draw_panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (title, lines): &Panel,
    figures: &[Figures],
) -> Result<()>
where
    B::ErrorType: 'static,
{
    let lines: Vec<(&str, Vec<(f64, f64)>)> = lines
        .iter()
        .map(|(name, figure)| {
            let points = figures.iter().filter_map(|f| Some((f64::from(f.nodes), figure(f)?)));
            (*name, points.filter(|(_, y)| *y > 0.0).collect())
        })
        .collect();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let figures = || lines.iter().flat_map(|(_, points)| points).map(of);
        (figures().fold(f64::INFINITY, f64::min), figures().fold(0.0, f64::max))
    };
    let ((first, last), (low, high)) = (range(|point| point.0), range(|point| point.1));
    if high == 0.0 {
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 22).into_font())
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (first * 0.8..last * 1.25).log_scale(),
            (low * 0.6..high * 1.6).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("nodes")
        .x_label_formatter(&|nodes| format!("{nodes:.0}"))
        .y_label_formatter(&|figure| match figure {
            figure if *figure < 1.0 => format!("{figure:.1}"),
            figure => format!("{figure:.0}"),
        })
        .label_style(("sans-serif", 15))
        .light_line_style(WHITE)
        .draw()?;
    for ((name, points), color) in lines.into_iter().zip(COLORS) {
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .border_style(COLORS[3])
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{JobRun, Size};

    #[test]
    fn plots_of_any_report_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut report = Report::default();
        write(&report, folder.path()).expect("plots of nothing");
        let words = vec![JobRun { whole: 2.0, detection: 0.02, ..JobRun::default() }];
        report.sizes = vec![Size { nodes: 10, words, ..Size::default() }];
        write(&report, folder.path()).expect("plots of one size");
        let svg = std::fs::read_to_string(folder.path().join("report.svg")).expect("an SVG");
        assert!(svg.contains("whole Job, in s"), "it has its titles");
        let png = std::fs::read(folder.path().join("report.png")).expect("a PNG");
        assert!(png.starts_with(b"\x89PNG"));
    }
}
