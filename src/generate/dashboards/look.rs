//! How panels and their series look.

/// How a panel shows what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One number, as of now.
    Stat,
    /// One word, as of now: the name of the series.
    Word,
    Lines,
    /// Lines on top of each other.
    Stack,
    Heatmap,
    /// Words over time.
    Timeline,
    Table,
}

/// Grafana's names of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Count,
    PerSecond,
    Share,
    Bytes,
    BytesPerSecond,
    None,
}

impl Unit {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Count => "short",
            Self::PerSecond => "cps",
            Self::Share => "percentunit",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "binBps",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

/// How a series looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colour: &'static str,
    pub(super) stroke: Stroke,
    /// The series down to which the area is filled.
    pub(super) filled_to: Option<&'static str>,
}

/// A solid line.
pub(super) const fn solid(colour: &'static str) -> Look {
    Look {
        colour,
        stroke: Stroke::Solid,
        filled_to: None,
    }
}

pub(super) const fn dashed(colour: &'static str) -> Look {
    Look {
        stroke: Stroke::Dashed,
        ..solid(colour)
    }
}

pub(super) const fn dotted(colour: &'static str) -> Look {
    Look {
        stroke: Stroke::Dotted,
        ..solid(colour)
    }
}
