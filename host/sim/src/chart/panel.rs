//! One panel of a chart: some series over time on one scale, with a legend above it.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::{DrawingBackend, SVGBackend};
use plotters::series::{AreaSeries, LineSeries};
use plotters::style::colors::{BLACK, WHITE};
use plotters::style::{Color, IntoFont, RGBColor};

use super::axis::{Axis, short};
use super::points::Point;
use super::style::GREY;
use crate::units::clock;

/// Height of the legend above a panel, in pixels.
const LEGEND: u32 = 24;
/// Width of the values' labels on the left, in pixels.
pub(super) const LABELS: u32 = 58;
/// Space on both sides, in pixels.
pub(super) const SIDE: u32 = 26;

/// A value of each point, and how it is drawn.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) colour: RGBColor,
    pub(super) shape: Shape,
    pub(super) value: fn(&Point) -> Option<f64>,
}

/// How a series is drawn. All are broken where there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// From point to point.
    Line,
    /// Keeping its value over a stretch.
    Step,
    /// Filled below.
    Area,
    /// A bar for each point that is not zero.
    Bars,
}

/// Some series on one scale.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) is_logarithmic: bool,
    pub(super) series: Vec<Series>,
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

impl Panel {
    /// Draw it; `last`: with the times below.
    pub(super) fn draw<'a>(&self, area: &Area<'a>, points: &[Point], last: bool) -> Drawn<'a> {
        let (legend, area) = area.split_vertically(LEGEND);
        self.draw_legend(&legend)?;
        let (least, most) = self.range(points);
        let (ground, top) = if self.is_logarithmic { (least * 0.8, most * 1.3) } else { (0.0, most * 1.08) };
        let values = if self.is_logarithmic { Axis::logarithmic(ground, top) } else { Axis::linear(top) };
        let whole = points.last().map_or(1.0, |point| point.ends);
        let mut chart = ChartBuilder::on(&area)
            .margin_left(SIDE)
            .margin_right(SIDE)
            .y_label_area_size(LABELS)
            .x_label_area_size(if last { 30 } else { 8 })
            .build_cartesian_2d(Axis::time(whole), values)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.10))
            .axis_style(BLACK.mix(0.4))
            .label_style(("sans-serif", 13).into_font())
            .x_label_formatter(&|seconds| if last { clock(*seconds) } else { String::new() })
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        let down = points.iter().filter(|point| point.is_down);
        let grey = GREY.mix(0.22).filled();
        chart.draw_series(down.map(|point| Rectangle::new([(point.begins, ground), (point.ends, top)], grey)))?;
        for series in &self.series {
            series.draw(&mut chart, points, ground)?;
        }
        Ok(())
    }

    /// The least and the most that the series come to.
    fn range(&self, points: &[Point]) -> (f64, f64) {
        let all = self.series.iter().flat_map(|series| points.iter().filter_map(series.value));
        let positive = all.filter(|value| *value > 0.0);
        let (least, most) =
            positive.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        if most > 0.0 { (least, most) } else { (0.1, 1.0) }
    }

    fn draw_legend<'a>(&self, area: &Area<'a>) -> Drawn<'a> {
        let mut left = pixels(LABELS + SIDE);
        area.draw(&Text::new(self.title, (left, 6), ("sans-serif", 14).into_font()))?;
        left += wide(self.title, 8) + 24;
        for series in &self.series {
            let mark = PathElement::new(vec![(left, 14), (left + 18, 14)], series.colour.stroke_width(3));
            area.draw(&mark)?;
            area.draw(&Text::new(series.name, (left + 24, 7), ("sans-serif", 13).into_font()))?;
            left += 24 + wide(series.name, 7) + 22;
        }
        Ok(())
    }
}

impl Series {
    fn draw<'a>(
        &self,
        chart: &mut ChartContext<'_, SVGBackend<'a>, Cartesian2d<Axis, Axis>>,
        points: &[Point],
        ground: f64,
    ) -> Drawn<'a> {
        let has_value = |point: &Point| (self.value)(point).is_some();
        for stretch in points.chunk_by(|one, next| has_value(one) == has_value(next)) {
            let line: Vec<(f64, f64)> = stretch.iter().flat_map(|point| self.at(point)).collect();
            match self.shape {
                Shape::Line => drop(chart.draw_series(LineSeries::new(line, self.colour.stroke_width(2)))?),
                Shape::Step => drop(chart.draw_series(LineSeries::new(line, self.colour.stroke_width(1)))?),
                Shape::Area => drop(chart.draw_series(
                    AreaSeries::new(line, ground, self.colour.mix(0.25)).border_style(self.colour.stroke_width(1)),
                )?),
                Shape::Bars => drop(chart.draw_series(line.chunks(2).filter_map(|bar| match bar {
                    [(from, value), (until, _)] if *value > 0.0 => {
                        Some(Rectangle::new([(*from, ground), (*until, *value)], self.colour.filled()))
                    }
                    _ => None,
                }))?),
            }
        }
        Ok(())
    }

    fn at(&self, point: &Point) -> Vec<(f64, f64)> {
        match ((self.value)(point), self.shape) {
            (None, _) => Vec::new(),
            (Some(value), Shape::Step | Shape::Bars) => vec![(point.begins, value), (point.ends, value)],
            (Some(value), Shape::Line | Shape::Area) => vec![(f64::midpoint(point.begins, point.ends), value)],
        }
    }
}

/// About how many pixels a text takes; SVG leaves fonts to the viewer.
pub(super) fn wide(text: &str, letter: i32) -> i32 {
    letter * i32::try_from(text.chars().count()).unwrap_or_default()
}

pub(super) fn pixels(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
