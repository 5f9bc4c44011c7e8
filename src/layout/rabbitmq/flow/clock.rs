//! The broker's clock, as the labels of its histories show it.

use super::{Asked, queue};

/// In the list, a total has been noted no longer ago.
pub(super) const NOTED_SECS: f64 = 7.0;

/// The broker's clock, as what ours is to be increased by.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrokerClock {
    at_least: f64,
    at_most: f64,
    set: f64,
}

// === impl BrokerClock ===

impl BrokerClock {
    /// Two clocks drift apart by no more than this share.
    const DRIFT: f64 = 2e-4;
    /// A difference beyond this is no drift.
    const JUMP_SECS: f64 = 2.0;

    /// The last label of an answer is the broker's time, rounded down to a whole step.
    pub(super) fn heard(label: i64, step: u32, asked: Asked) -> Self {
        Self {
            at_least: label as f64 - asked.to,
            at_most: label as f64 + f64::from(step) - asked.from,
            set: asked.to,
        }
    }

    /// Without anything that tells: a clock that begins with us. Only its differences are used.
    pub(super) fn guess(list: Asked) -> Option<Self> {
        const SOME_TIME: f64 = 1e9;
        list.to.is_finite().then_some(Self {
            at_least: SOME_TIME,
            at_most: SOME_TIME,
            set: list.to,
        })
    }

    /// What both say; `None` if one of the clocks has been set in between.
    pub(super) fn narrowed(self, heard: Self, now: f64) -> Option<Self> {
        let drift = (now - self.set).max(0.0) * Self::DRIFT;
        let (low, high) = (self.at_least - drift, self.at_most + drift);
        if heard.at_least > high + Self::JUMP_SECS || heard.at_most < low - Self::JUMP_SECS {
            return None;
        }
        let at_least = low.max(heard.at_least);
        let at_most = high.min(heard.at_most);
        Some(if at_least <= at_most {
            Self {
                at_least,
                at_most,
                set: now,
            }
        } else {
            heard
        })
    }

    pub(super) fn latest(self, ours: f64) -> f64 {
        ours + self.at_most
    }

    /// When the totals of a list had been noted.
    pub(super) fn noted(self, list: Asked) -> (f64, f64) {
        (
            list.from + self.at_least - NOTED_SECS,
            list.to + self.at_most,
        )
    }

    /// When a queue that was listed as empty was so.
    pub(super) fn empty(self, list: Asked) -> (f64, f64) {
        (
            list.from + self.at_least - queue::READY_AGE_SECS,
            list.to + self.at_most,
        )
    }
}
