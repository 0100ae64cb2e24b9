//! A strip that shows when the breaker was closed, open or half-open.

use plotters::element::{Rectangle, Text};
use plotters::style::colors::WHITE;
use plotters::style::{Color, IntoFont, RGBColor};

use super::panel::{Area, Drawn, LABELS, SIDE, pixels, wide};
use super::points::{BreakerState, Point};
use super::style::{GREEN, GREY, ORANGE, VERMILION, WIDTH};

/// Height of the strip, its legend included, in pixels.
pub(super) const HEIGHT: u32 = 44;

/// Draw the strip.
pub(super) fn draw<'a>(area: &Area<'a>, points: &[Point]) -> Drawn<'a> {
    let left = LABELS + SIDE;
    let mut at = pixels(left);
    area.draw(&Text::new("breaker", (at, 6), ("sans-serif", 14).into_font()))?;
    at += 80;
    let down = ("the API is down", GREY.mix(0.22).to_rgba());
    let legend =
        [("closed", GREEN.mix(0.5).to_rgba()), ("half-open", ORANGE.to_rgba()), ("open", VERMILION.to_rgba()), down];
    for (name, colour) in legend {
        area.draw(&Rectangle::new([(at, 8), (at + 18, 20)], colour.filled()))?;
        area.draw(&Text::new(name, (at + 24, 7), ("sans-serif", 13).into_font()))?;
        at += 24 + wide(name, 7) + 22;
    }
    let whole = points.last().map_or(1.0, |point| point.ends);
    let width = f64::from(WIDTH - left - SIDE);
    let across = |seconds: f64| pixels(left) + round(seconds / whole * width);
    let top = pixels(HEIGHT) - 16;
    for stretch in points.chunk_by(|one, next| one.breaker_state == next.breaker_state) {
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
        let colour = colour(first.breaker_state);
        let corners = [(across(first.begins), top), (across(last.ends), top + 10)];
        area.draw(&Rectangle::new(corners, WHITE.filled()))?;
        area.draw(&Rectangle::new(corners, colour.filled()))?;
    }
    Ok(())
}

fn colour(breaker_state: BreakerState) -> plotters::style::RGBAColor {
    let plain = |colour: RGBColor| colour.to_rgba();
    match breaker_state {
        BreakerState::Closed => GREEN.mix(0.5),
        BreakerState::HalfOpen => plain(ORANGE),
        BreakerState::Open => plain(VERMILION),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "within the chart's width")]
fn round(pixels: f64) -> i32 {
    pixels.round() as i32
}
