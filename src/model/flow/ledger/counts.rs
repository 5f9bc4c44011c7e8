//! What a count of jobs is worth.

/// How far a number of jobs can be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counts {
    #[default]
    Exact,
    /// Exact if no other program pushes and pops in the same way: nothing tells.
    Assumed,
    /// Exact in sum over several queues, shared out by a guess.
    Shared,
    /// Jobs may be missing; none is counted that was not there.
    LowerBound,
    /// Some may be missing and others may be counted in vain.
    Estimated,
}

impl Counts {
    pub const ALL: [Self; 5] = [
        Self::Exact,
        Self::Assumed,
        Self::Shared,
        Self::LowerBound,
        Self::Estimated,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Assumed => "assumed",
            Self::Shared => "shared",
            Self::LowerBound => "lower_bound",
            Self::Estimated => "estimated",
        }
    }

    /// What the sum of two numbers is worth. Where some are missing and others may be too many,
    /// nothing bounds it.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exact, one) | (one, Self::Exact) => one,
            (Self::Assumed, Self::Assumed) => Self::Assumed,
            (Self::LowerBound, Self::LowerBound) => Self::LowerBound,
            (Self::Assumed | Self::Shared, Self::Assumed | Self::Shared) => Self::Shared,
            _ => Self::Estimated,
        }
    }

    /// Whether no job is missing.
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Exact | Self::Assumed)
    }
}
