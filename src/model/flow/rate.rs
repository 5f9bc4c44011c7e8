//! How many a second, lately.

use super::saved::{SavedRate, Shift, age_up};

/// Events and the time they took, both fading with a half-life, so that the ratio follows the
/// present without being thrown about by one poll. An event counts half after `HALF_LIFE` seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FadingRate<const HALF_LIFE: u32> {
    events: f64,
    secs: f64,
    at: Option<f64>,
}

/// The rate of the last minute or two, which forecasts rest on.
pub type Rate = FadingRate<60>;

impl<const HALF_LIFE: u32> FadingRate<HALF_LIFE> {
    /// `events` happened in the `secs` before `now`.
    pub fn add(&mut self, now: f64, secs: f64, events: f64) {
        let faded = self.at.map_or(1.0, |at| {
            0.5_f64.powf((now - at).max(0.0) / f64::from(HALF_LIFE))
        });
        self.at = Some(now);
        self.events = self.events * faded + events;
        self.secs = self.secs * faded + secs.max(0.0);
    }

    pub(super) fn save(&self, now: f64) -> SavedRate {
        SavedRate {
            events: self.events,
            secs: self.secs,
            age: self.at.map(|at| age_up(at, now)),
        }
    }

    /// Nothing seen where what was written down cannot be a rate.
    pub(super) fn resume(saved: &SavedRate, shift: &Shift) -> Self {
        let SavedRate { events, secs, age } = *saved;
        let is_sound = |number: f64| number.is_finite() && number >= 0.0;
        if !is_sound(events) || !is_sound(secs) {
            return Self::default();
        }
        Self {
            events,
            secs,
            at: age.map(|age| shift.likely(age)),
        }
    }

    /// Events a second; 0 where none have been seen.
    pub fn per_second(&self) -> f64 {
        if self.secs > 0.0 {
            self.events / self.secs
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_a_change_within_a_few_half_lives() {
        let mut rate = Rate::default();
        (0..600).for_each(|t| rate.add(f64::from(t), 1.0, 10.0));
        assert!((rate.per_second() - 10.0).abs() < 1e-9);
        (600..900).for_each(|t| rate.add(f64::from(t), 1.0, 2.0));
        assert!((rate.per_second() - 2.0).abs() < 0.3);
    }

    #[test]
    fn nothing_seen_is_zero() {
        assert_eq!(Rate::default().per_second(), 0.0);
    }
}
