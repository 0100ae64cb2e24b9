//! Colours and sizes that all parts of a chart share.

use plotters::style::RGBColor;

/// Width of a chart, in pixels.
pub(super) const WIDTH: u32 = 1_200;

// Okabe and Ito's colours, which all can tell apart.
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const PURPLE: RGBColor = RGBColor(150, 80, 140);
pub(super) const GREY: RGBColor = RGBColor(110, 110, 110);
