//! An axis: what lies where on it, where it is marked, and what the marks say.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::units::number;

/// An axis from one value to another.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    range: Range<f64>,
    marks: Vec<f64>,
    is_logarithmic: bool,
}

impl Axis {
    /// From 0 to `whole` seconds.
    pub(super) fn time(whole: f64) -> Self {
        Self { range: 0.0..whole, marks: time_ticks(whole), is_logarithmic: false }
    }

    /// From 0 to `most`.
    pub(super) fn linear(most: f64) -> Self {
        Self { range: 0.0..most, marks: linear_ticks(most), is_logarithmic: false }
    }

    /// From `least`, above 0, to `most`, each decade as wide as the others.
    pub(super) fn logarithmic(least: f64, most: f64) -> Self {
        Self { range: least..most, marks: decade_ticks(least, most), is_logarithmic: true }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[allow(clippy::cast_possible_truncation, reason = "within the chart's size")]
    fn map(&self, value: &f64, (from, until): (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        let share = if self.is_logarithmic {
            (value.max(start) / start).ln() / (end / start).ln()
        } else {
            (value - start) / (end - start)
        };
        from + (share * f64::from(until - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        short(*value)
    }
}

/// Round distances in time, in seconds.
const DISTANCES: [f64; 14] =
    [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0];

/// At most a dozen round times from 0 to `whole` seconds.
pub(super) fn time_ticks(whole: f64) -> Vec<f64> {
    multiples(DISTANCES.into_iter().find(|distance| whole / distance <= 12.0).unwrap_or(86_400.0), whole)
}

/// About five round values from 0 to `most`.
pub(super) fn linear_ticks(most: f64) -> Vec<f64> {
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let distance = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|distance| most / distance <= 6.0);
    multiples(distance.unwrap_or(most), most)
}

/// 1, 2 and 5 of every decade between two values, or 1 alone where that is too much.
pub(super) fn decade_ticks(least: f64, most: f64) -> Vec<f64> {
    let digits: &[f64] = if most / least > 2_000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = -5_i32..6;
    let all = decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)));
    all.filter(|value| (least..=most).contains(value)).collect()
}

fn multiples(distance: f64, most: f64) -> Vec<f64> {
    (0..100).map(|count| number(count) * distance).take_while(|value| *value <= most).collect()
}

/// A value in few digits.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(time_ticks(1_800.0), multiples(300.0, 1_800.0));
        assert_eq!(linear_ticks(21.6), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(decade_ticks(0.15, 2.2), [0.2, 0.5, 1.0, 2.0]);
        assert!(time_ticks(18_000.0).len() <= 13);
    }

    #[test]
    fn marks_say_what_they_are() {
        assert_eq!([0.0, 0.05, 2.5, 10_000.0].map(short), ["0", "0.05", "2.5", "10000"]);
    }
}
