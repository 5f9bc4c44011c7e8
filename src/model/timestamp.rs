//! Points in time as brokers and producers write them down.

use std::time::Duration;

/// Microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// `None` for what is no point in time: NaN, infinite, before 1970, after the year 9999.
    pub fn from_secs_f64(secs: f64) -> Option<Self> {
        const YEAR_9999: f64 = 253_402_300_799.0;
        (0.0..=YEAR_9999)
            .contains(&secs)
            .then(|| Self((secs * 1e6).round() as i64))
    }

    /// A bare number whose unit nobody wrote down, told by its magnitude: below 1e11 seconds,
    /// below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds.
    pub fn from_number_of_unknown_unit(number: f64) -> Option<Self> {
        let secs = match number.abs() {
            n if n < 1e11 => number,
            n if n < 1e14 => number / 1e3,
            n if n < 1e17 => number / 1e6,
            _ => number / 1e9,
        };
        Self::from_secs_f64(secs)
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// How long before `later` this was; zero where clocks disagree and it was not.
    pub fn age_at(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_bare_number_follows_from_its_magnitude() {
        let want = Timestamp::from_micros(1_795_410_397_000_000);
        for number in [
            1_795_410_397.0,
            1_795_410_397e3,
            1_795_410_397e6,
            1_795_410_397e9,
        ] {
            assert_eq!(
                Timestamp::from_number_of_unknown_unit(number),
                Some(want),
                "{number}"
            );
        }
    }

    #[test]
    fn what_is_no_point_in_time_is_refused() {
        for number in [f64::NAN, f64::INFINITY, -1.0, 1e30] {
            assert_eq!(Timestamp::from_secs_f64(number), None, "{number}");
        }
    }

    #[test]
    fn an_age_is_never_negative() {
        let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(7));
        assert_eq!(early.age_at(late), Duration::from_micros(2));
        assert_eq!(late.age_at(early), Duration::ZERO);
    }
}
