//! Whether jobs are taken from a list in the order of their arrival.
//!
//! Job systems keep to their own order. Of a list that anybody may use, the elements that were read
//! show a part of it; for the rest there is the broker's count of the commands that a list in order
//! does not need. Where one of them was called, whatever list it was for, the order is not believed.

use serde::{Deserialize, Serialize};

/// What one poll shows of the order in which jobs were taken since the poll before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As the job system keeps it, or as the elements show it.
    #[default]
    Kept,
    /// As far as the elements show; but it was not kept if such a command was called.
    Unless(Misuse),
    /// Jobs were taken from elsewhere than the head, or put elsewhere than at the tail.
    Broken,
}

/// Commands by which a list is used out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misuse {
    /// The end at which the jobs of the list are taken.
    pub head: End,
    /// Those that take or move jobs matter, besides those that put them.
    pub takes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// How often the broker has carried out such commands, for any list, by the end at which the jobs of
/// a list are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Misuses {
    pub left: Uses<u64>,
    pub right: Uses<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Uses<T> {
    /// What may put a job elsewhere than at the tail.
    pub puts: T,
    /// What may take a job from elsewhere than the head, or move it.
    pub takes: T,
}

/// The same count at some moment, in seconds on our own monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MisusesAt {
    pub at: f64,
    pub count: Misuses,
}

/// Since when no such command has been called.
#[derive(Debug, Default)]
pub struct Witness {
    last: Option<Misuses>,
    since_left: Uses<f64>,
    since_right: Uses<f64>,
    /// The count was read after the lists of this poll.
    is_present: bool,
}

// === impl Order ===

impl Order {
    /// What two polls in a row show together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Broken, _) | (_, Self::Broken) => Self::Broken,
            (Self::Kept, order) | (order, Self::Kept) => order,
            (Self::Unless(a), Self::Unless(b)) => Self::Unless(Misuse {
                takes: a.takes || b.takes,
                ..a
            }),
        }
    }
}

// === impl Witness ===

impl Witness {
    /// Takes up what was counted before anything that is remembered of the lists was read.
    pub fn recall(&mut self, count: Misuses) {
        let at = f64::NEG_INFINITY;
        self.last = None;
        self.note(Some(MisusesAt { at, count }));
    }

    /// Takes the counts of one poll: as they were before its lists were read, and after.
    pub fn hear(&mut self, before: Option<MisusesAt>, after: Option<MisusesAt>) {
        self.note(before);
        self.is_present = after.is_some();
        if after.is_some() {
            self.note(after);
        }
    }

    fn note(&mut self, told: Option<MisusesAt>) {
        let (at, count) = match told {
            Some(told) => (told.at, Some(told.count)),
            None => (f64::INFINITY, None),
        };
        let last = std::mem::replace(&mut self.last, count);
        let since = |before: u64, now: u64, since: f64| match last.is_some() && before == now {
            true => since,
            false => at,
        };
        let uses = |before: Uses<u64>, now: Uses<u64>, from: Uses<f64>| Uses {
            puts: since(before.puts, now.puts, from.puts),
            takes: since(before.takes, now.takes, from.takes),
        };
        let (before, now) = (last.unwrap_or_default(), count.unwrap_or_default());
        self.since_left = uses(before.left, now.left, self.since_left);
        self.since_right = uses(before.right, now.right, self.since_right);
    }

    /// Whether a list that was read at `since`, and again at this poll, was not misused in between.
    pub(super) fn denies(&self, misuse: Misuse, since: f64) -> bool {
        let free = match misuse.head {
            End::Left => self.since_left,
            End::Right => self.since_right,
        };
        let from = match misuse.takes {
            true => free.puts.max(free.takes),
            false => free.puts,
        };
        self.is_present && self.last.is_some() && from <= since
    }
}
