//! A run over time as an SVG: what is in flight and what may be, what comes back, how long it takes, and the batch
//! size.
//!
//! Grey marks the times when the API was down; a strip on top shows when the breaker kept calls away from it.

mod axis;
mod breaker;
mod panel;
mod points;
mod style;

use plotters::prelude::{IntoDrawingArea, SVGBackend};
use plotters::style::IntoFont;
use plotters::style::colors::WHITE;

use crate::api::Plan;
use crate::chart::panel::{Area, Drawn, Panel, Series, Shape};
use crate::chart::points::{Point, points};
use crate::chart::style::{BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, WIDTH};
use crate::record::Record;

/// Height of a panel, in pixels.
const PANEL: u32 = 210;
/// Height of the title, in pixels.
const TITLE: u32 = 30;

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
#[error("the chart cannot be drawn: {0}")]
pub struct ChartError(String);

/// Draw a run against an API that followed `plan`.
///
/// # Errors
/// If the drawing library fails, which is not known to happen.
pub fn svg(title: &str, plan: &Plan, record: &Record) -> Result<String, ChartError> {
    let points = points(plan, record);
    let panels = panels(&points);
    let height = TITLE + breaker::HEIGHT + PANEL * u32::try_from(panels.len()).unwrap_or(1);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&area, title, &points, &panels).map_err(|error| ChartError(error.to_string()))?;
        area.present().map_err(|error| ChartError(error.to_string()))?;
    }
    Ok(text)
}

fn draw<'a>(area: &Area<'a>, title: &str, points: &[Point], panels: &[Panel]) -> Drawn<'a> {
    area.fill(&WHITE)?;
    let area = area.titled(title, ("sans-serif", 18).into_font())?;
    let (strip, area) = area.split_vertically(breaker::HEIGHT);
    breaker::draw(&strip, points)?;
    let count = panels.len();
    for (number, (area, panel)) in area.split_evenly((count, 1)).iter().zip(panels).enumerate() {
        panel.draw(area, points, number + 1 == count)?;
    }
    Ok(())
}

/// The panels of a run, from the top.
fn panels(points: &[Point]) -> Vec<Panel> {
    let series = |name, colour, shape, value: fn(&Point) -> Option<f64>| Series { name, colour, shape, value };
    let mut panels = vec![
        Panel {
            title: "requests at once",
            is_logarithmic: false,
            series: vec![
                series("in flight", BLUE, Shape::Area, |point| Some(point.in_flight)),
                series("optimal API concurrency", GREY, Shape::Step, |point| point.bears),
                series("limit", VERMILION, Shape::Step, |point| Some(point.limit)),
            ],
        },
        Panel {
            title: "answers a second",
            is_logarithmic: false,
            series: vec![
                series("good", GREEN, Shape::Area, |point| Some(point.ok)),
                series("refused (429)", ORANGE, Shape::Bars, |point| Some(point.throttled)),
                series("failed or timed out", VERMILION, Shape::Bars, |point| Some(point.failed)),
            ],
        },
        Panel {
            title: "latency of good answers, in seconds",
            is_logarithmic: true,
            series: vec![
                series("99th percentile", PURPLE, Shape::Line, |point| point.p99),
                series("median", BLUE, Shape::Line, |point| point.p50),
            ],
        },
    ];
    if points.iter().any(|point| point.batch_size.is_some()) {
        panels.push(Panel {
            title: "batches",
            is_logarithmic: false,
            series: vec![series("items in a batch; 0: the mapping is off", BLUE, Shape::Step, |point| {
                point.batch_size
            })],
        });
    }
    panels
}

#[cfg(test)]
mod tests;
