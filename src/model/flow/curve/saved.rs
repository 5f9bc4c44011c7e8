//! Writing a curve down and taking it up.

use super::{Knot, MAX_TOTAL, WaitCurve};
use crate::model::flow::saved::{SavedCurve, SavedSpan, Shift, age_down, age_up};

/// More knots than this nobody has written.
const MAX_SAVED_KNOTS: usize = 1 << 16;

impl WaitCurve {
    pub(in crate::model::flow) fn save(&self, now: f64) -> SavedCurve {
        let knots = self.knots.iter().map(|knot| {
            let by = knot.by.is_finite().then(|| age_down(knot.by, now));
            let not_before = knot.not_before.is_finite();
            let not_before = not_before.then(|| age_up(knot.not_before, now));
            (knot.count, by, not_before)
        });
        SavedCurve {
            knots: knots.collect(),
            arrived: self.arrived,
            departed: self.departed,
            furthest: self.furthest,
            unordered_until: self.unordered_until,
            span: SavedSpan {
                from: age_up(self.from, now),
                to: age_down(self.to, now),
            },
        }
    }

    /// The curve with brackets as much wider as the times are in doubt; `None` if it cannot be one.
    pub(in crate::model::flow) fn resume(saved: &SavedCurve, shift: &Shift) -> Option<Self> {
        let SavedCurve {
            arrived,
            departed,
            furthest,
            unordered_until,
            span,
            ..
        } = *saved;
        let in_range = |number: i64| (-MAX_TOTAL..=MAX_TOTAL).contains(&number);
        let is_sound = [arrived, departed, furthest].into_iter().all(in_range)
            && departed <= arrived
            && departed <= furthest
            && span.to <= span.from
            && saved.knots.len() <= MAX_SAVED_KNOTS
            && saved.knots.last().is_some_and(|last| last.0 == arrived)
            && saved.knots.windows(2).all(|pair| match pair {
                [(a, a_by, a_since), (b, b_by, b_since)] => {
                    a <= b && is_later(*a_by, *b_by) && is_later(*a_since, *b_since)
                }
                _ => true,
            });
        if !is_sound {
            return None;
        }
        let knots = saved.knots.iter().map(|(count, by, not_before)| Knot {
            count: *count,
            by: by.map_or(f64::NEG_INFINITY, |age| shift.latest(age)),
            not_before: not_before.map_or(f64::NEG_INFINITY, |age| shift.earliest(age)),
        });
        Some(Self {
            knots: knots.collect(),
            max_knots: Self::MAX_KNOTS,
            arrived,
            departed,
            furthest,
            unordered_until,
            ready: arrived - departed,
            from: shift.earliest(span.from),
            to: shift.latest(span.to),
            at: shift.latest(span.to),
        })
    }
}

/// Whether an age is that of the same time or a later one; none is older than all.
fn is_later(before: Option<u64>, after: Option<u64>) -> bool {
    before.is_none_or(|before| after.is_some_and(|after| after <= before))
}
