//! What a line has shown of how jobs go through it: the ground on which those are shared out that
//! nobody has seen. Nothing that was shared out by a guess is part of it.

use crate::model::flow::rate::Rate;
use crate::model::flow::saved::{SavedTurnover, Shift};

/// One poll of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// When, and how long after the one before.
    pub(super) at: f64,
    pub(super) secs: f64,
    /// Jobs waiting at the poll before, and now.
    pub(super) before: u64,
    pub(super) ready: u64,
    pub(super) arrived: u64,
    /// Those of them that nobody has seen.
    pub(super) unseen: u64,
    pub(super) removed: u64,
    /// All that waited at the poll before have left.
    pub(super) turned_over: bool,
    /// Each that came is counted.
    pub(super) is_complete: bool,
}

#[derive(Debug, Default)]
pub(super) struct Turnover {
    /// Arrivals a second, of the polls at which each was counted.
    measured: Rate,
    /// Jobs found at a poll after which they were all gone, for each poll at which more may have come
    /// and gone.
    caught: Rate,
    /// All that waited at the last poll had come since the one before.
    is_fresh: bool,
    /// How surely jobs leave within an interval when it is their turn.
    quick: u8,
}

/// What one poll adds that has shown it, and the most that is remembered; one at which no job has
/// left takes one off.
const QUICK: u8 = 2;
const MAX_QUICK: u8 = 8;

// === impl Turnover ===

impl Turnover {
    pub(super) fn note(&mut self, look: &Look) {
        if look.is_complete {
            self.measured.add(look.at, look.secs, look.arrived as f64);
        }
        let left = (look.before + look.arrived).saturating_sub(look.ready);
        let was_caught = self.is_fresh && look.turned_over && look.removed == 0;
        if self.is_fresh {
            let caught = if was_caught { look.before } else { 0 };
            self.caught.add(look.at, 1.0, caught as f64);
        }
        if look.turned_over && look.ready == 0 {
            self.caught.add(look.at, 1.0, 0.0);
        }
        let came_unseen = look.unseen > 0 && look.is_complete;
        // The second of them came to the head only since the poll before.
        let follow = look.before > 0 && left > 1 && look.removed == 0 && look.unseen == 0;
        if was_caught || came_unseen || follow {
            self.quick = self.quick.saturating_add(QUICK).min(MAX_QUICK);
        } else if look.before > 0 && left == 0 {
            self.quick = self.quick.saturating_sub(1);
        }
        self.is_fresh = look.turned_over && look.ready > 0;
    }

    pub(super) const fn is_quick(&self) -> bool {
        self.quick > 0
    }

    /// Arrivals to be expected within so many seconds; 0 where that is not known.
    pub(super) fn measured(&self, secs: f64) -> f64 {
        self.measured.per_second() * secs.max(0.0)
    }

    /// Jobs caught at a poll on average.
    pub(super) fn caught(&self) -> f64 {
        self.caught.per_second()
    }

    pub(super) fn save(&self, now: f64) -> SavedTurnover {
        SavedTurnover {
            measured: self.measured.save(now),
            caught: self.caught.save(now),
            quick: self.quick,
        }
    }

    pub(super) fn resume(saved: &SavedTurnover, shift: &Shift) -> Self {
        Self {
            measured: Rate::resume(&saved.measured, shift),
            caught: Rate::resume(&saved.caught, shift),
            is_fresh: false,
            quick: saved.quick.min(MAX_QUICK),
        }
    }
}
