//! The colours of Okabe and Ito, which people with any colour vision tell apart. What has a meaning has
//! a shape, a word or a dash besides: no panel needs its colours.

pub(super) const BLUE: &str = "#0072B2";
pub(super) const SKY: &str = "#56B4E9";
pub(super) const GREEN: &str = "#009E73";
pub(super) const ORANGE: &str = "#E69F00";
pub(super) const VERMILLION: &str = "#D55E00";
pub(super) const PURPLE: &str = "#CC79A7";
/// In the place of their black, which a dark background swallows.
pub(super) const GREY: &str = "#999999";
