//! A figure over many seeds.

use crate::units::number;

/// Means of what is measured once for each seed; the worst is the largest.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread(pub(super) Vec<f64>);

impl Spread {
    pub(super) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / number(self.0.len().max(1) as u64)
    }

    /// `mean (worst)`, the larger the worse.
    pub(super) fn larger_is_worse(&self, digits: usize) -> String {
        let worst = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.digits$} ({worst:.digits$})", self.mean())
    }

    /// `mean (worst)`, the smaller the worse.
    pub(super) fn smaller_is_worse(&self, digits: usize) -> String {
        let worst = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        format!("{:.digits$} ({worst:.digits$})", self.mean())
    }
}
