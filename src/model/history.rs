//! What a queue looked like in the last hour, minute by minute: what readers were shown, and gaps
//! where they were shown nothing.
//!
//! Minutes that are alike share one entry, so a queue that is still costs next to nothing, and one
//! that changes all the time costs [`SLOTS`] entries of 20 bytes. Entries are immutable and shared
//! between snapshots; they are copied once a minute at most.

use super::latency::Latency;
use super::snapshot::QueueSnapshot;
use super::timestamp::Timestamp;
use crate::clock::Now;
use std::sync::Arc;
use std::time::Duration;

/// Points that are kept.
pub const SLOTS: usize = 60;

/// The time that a point stands for.
pub const SLOT: Duration = Duration::from_secs(60);

/// One minute of a queue. What is not known is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// The highest latency of the minute, in seconds.
    pub latency: Option<f32>,
    /// The most ready jobs of the minute.
    pub ready: Option<f32>,
    /// Jobs a second that arrived and were started.
    pub enqueued: Option<f32>,
    pub started: Option<f32>,
}

/// The last hour of one queue, as readers see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Ascending; each holds until the next one begins, the last one until `open` does.
    runs: Arc<[Run]>,
    open: Option<Minute>,
}

/// Minutes that were alike.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    from: u32,
    point: Packed,
}

/// A [`Point`] in 16 bytes: the bits of numbers, and of NaN where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Packed([u32; 4]);

/// The minute under way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Minute {
    number: u32,
    latency: Option<f32>,
    ready: Option<f32>,
    arrivals: Events,
    starts: Events,
}

/// What a counter told in so many seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Events {
    count: f32,
    secs: f32,
}

/// What must be known to go on with a history.
#[derive(Debug, Default)]
pub(super) struct HistoryMemory {
    history: History,
    last: Option<Seen>,
}

/// One observation, as far as it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    at: Now,
    latency: Option<f32>,
    ready: Option<f32>,
    enqueued: Option<u64>,
    started: Option<u64>,
}

impl Packed {
    fn pack(point: Point) -> Self {
        let Point {
            latency,
            ready,
            enqueued,
            started,
        } = point;
        Self([latency, ready, enqueued, started].map(|value| value.unwrap_or(f32::NAN).to_bits()))
    }

    fn unpack(self) -> Point {
        let [latency, ready, enqueued, started] = self.0.map(|bits| {
            let value = f32::from_bits(bits);
            (!value.is_nan()).then_some(value)
        });
        Point {
            latency,
            ready,
            enqueued,
            started,
        }
    }
}

impl Events {
    fn add(&mut self, (count, secs): (f32, f32)) {
        self.count += count;
        self.secs += secs;
    }

    fn per_second(self) -> Option<f32> {
        (self.secs > 0.0).then(|| self.count / self.secs)
    }
}

impl Minute {
    fn new(number: u32) -> Self {
        Self {
            number,
            latency: None,
            ready: None,
            arrivals: Events::default(),
            starts: Events::default(),
        }
    }

    fn point(&self) -> Point {
        Point {
            latency: self.latency,
            ready: self.ready,
            enqueued: self.arrivals.per_second(),
            started: self.starts.per_second(),
        }
    }
}

impl From<&QueueSnapshot> for Seen {
    fn from(queue: &QueueSnapshot) -> Self {
        Self {
            at: queue.observed,
            latency: match queue.latency {
                Latency::Empty => Some(0.0),
                Latency::Known { age, .. } => Some(age.estimate.as_secs_f32()),
                Latency::Unknown(_) => None,
            },
            ready: queue.jobs.ready.map(|ready| ready as f32),
            enqueued: queue.counters.enqueued,
            started: queue.counters.started,
        }
    }
}

impl HistoryMemory {
    /// Adds an observation. One that came before counts until `held` after it; then nothing is
    /// known until the next.
    pub(super) fn fold(&mut self, seen: Seen, held: Duration) -> History {
        let number = minute(seen.at.wall);
        let last = self.last.replace(seen).filter(|last| {
            let mono = seen.at.mono.saturating_duration_since(last.at.mono);
            mono <= held && last.at.wall.age_at(seen.at.wall) <= held + SLOT
        });
        let flow = |count: fn(&Seen) -> Option<u64>| {
            let last = last.as_ref()?;
            let count = count(&seen)?.checked_sub(count(last)?)?;
            let secs = seen.at.mono.saturating_duration_since(last.at.mono);
            Some((count as f32, secs.as_secs_f32()))
        };
        let (arrivals, starts) = (flow(|all| all.enqueued), flow(|all| all.started));
        let open = match self.history.open {
            Some(open) if open.number <= number => open,
            // The clock was put back: a minute's worth does not matter.
            Some(open) if open.number - number <= 1 => open,
            Some(_) => {
                self.history = History::default();
                Minute::new(number)
            }
            None => Minute::new(number),
        };
        let mut open = if open.number < number {
            self.close(open.number, open.point());
            if open.number + 1 < number {
                let between = last.map_or(Point::default(), |last| Point {
                    latency: last.latency,
                    ready: last.ready,
                    enqueued: arrivals.map(|(count, secs)| count / secs),
                    started: starts.map(|(count, secs)| count / secs),
                });
                self.close(open.number + 1, between);
            }
            Minute::new(number)
        } else {
            open
        };
        let most = |a: Option<f32>, b: Option<f32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        open.latency = most(open.latency, seen.latency);
        open.ready = most(open.ready, seen.ready);
        if let Some(arrivals) = arrivals {
            open.arrivals.add(arrivals);
        }
        if let Some(starts) = starts {
            open.starts.add(starts);
        }
        self.history.open = Some(open);
        self.history.clone()
    }

    /// From the minute `from` on the queue was like this.
    fn close(&mut self, from: u32, point: Point) {
        let point = Packed::pack(point);
        let runs = &self.history.runs;
        if runs.last().is_some_and(|last| last.point == point) {
            return;
        }
        let oldest = from.saturating_sub(SLOTS as u32 - 1);
        // The one before the first that begins inside still covers the oldest minute.
        let old = runs.iter().skip(1).take_while(|run| run.from <= oldest);
        let kept = runs.iter().skip(old.count()).copied();
        self.history.runs = kept.chain([Run { from, point }]).collect();
    }
}

impl History {
    /// The last [`SLOTS`] minutes, oldest first; the last one is under way at `now`.
    pub fn points(&self, now: Now) -> Vec<Point> {
        let last = minute(now.wall);
        let mut runs = self.runs.iter().peekable();
        let mut point = Point::default();
        (last.saturating_sub(SLOTS as u32 - 1)..=last)
            .map(|number| {
                while let Some(run) = runs.next_if(|run| run.from <= number) {
                    point = run.point.unpack();
                }
                match &self.open {
                    Some(open) if number < open.number => point,
                    Some(open) if number == open.number => open.point(),
                    _ => Point::default(),
                }
            })
            .collect()
    }

    /// When the first of [`History::points`] begins.
    pub fn start(now: Now) -> Timestamp {
        let first = minute(now.wall).saturating_sub(SLOTS as u32 - 1);
        Timestamp::from_micros(0).plus(SLOT * first)
    }

    /// Jobs a second that arrived and were started, over the minute under way and the one before.
    pub fn rates(&self) -> (Option<f32>, Option<f32>) {
        let Some(open) = &self.open else {
            return (None, None);
        };
        let before = self.runs.last().map(|run| run.point.unpack());
        let before = before.unwrap_or_default();
        let rate = |mut events: Events, before: Option<f32>| {
            if let Some(before) = before {
                let secs = SLOT.as_secs_f32();
                events.add((before * secs, secs));
            }
            events.per_second()
        };
        (
            rate(open.arrivals, before.enqueued),
            rate(open.starts, before.started),
        )
    }
}

/// The number of a point's minute since 1970.
fn minute(at: Timestamp) -> u32 {
    let minute = at.micros().max(0) / SLOT.as_micros() as i64;
    u32::try_from(minute).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
