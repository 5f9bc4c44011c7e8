//! Pushes that were nobody's job.
//!
//! The broker counts the pushes of all programs. What can have been a job is bounded from the other
//! side: whoever takes one pops it, and kombu notes each that it delivers. So what comes and goes
//! unseen is never more than was delivered; and once deliveries, less the departures that were seen,
//! are too few for it, somebody else pushes, and only what deliveries prove is counted.

use super::Counts;

/// What the broker has counted between two polls, where it tells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    /// Pops of any kind, those that found nothing among them.
    pub(super) takes: Option<u64>,
    /// Deliveries, if each job that leaves counts as one unless it is removed.
    pub(super) deliveries: Option<u64>,
    /// Departures that were seen.
    pub(super) left: u64,
    /// Every list was read.
    pub(super) is_whole: bool,
    /// No other job system is known that may count as deliveries what it does.
    pub(super) is_alone: bool,
    /// More has left an emptied list than was delivered.
    pub(super) is_purge: bool,
}

#[derive(Debug, Default)]
pub(super) struct Strangers {
    pushes: Evidence,
    deliveries: Evidence,
    /// Deliveries beyond the departures that were counted, seen ones and others.
    spare: f64,
    /// Pops that have brought nothing yet: of consumers that are still waiting, which Redis counts when
    /// they begin to wait; or while no list could have had more than was seen, of what came and went
    /// just before that.
    owed: u64,
    /// Some have counted as jobs.
    has_admitted: bool,
    /// When others were found to push, some had counted as jobs already.
    is_doubtful: bool,
}

/// How often something was seen that should not be, fading.
#[derive(Debug, Default)]
struct Evidence(f64);

/// So much can be the doing of a consumer that was killed in the midst of a delivery.
const FEW: f64 = 4.0;

/// No more consumers are taken to be waiting.
const BLOCKED: u64 = 16;

/// What evidence keeps of itself from one poll to the next, and what a lack of deliveries keeps: a purge
/// of a few jobs makes one.
const KEEP: f64 = 0.999;
const KEEP_DEBT: f64 = 0.98;

// === impl Strangers ===

impl Strangers {
    fn are_pushing(&self) -> bool {
        self.pushes.is_enough()
    }

    /// How good the numbers are because of others.
    pub(super) fn counts(&self) -> Counts {
        match (self.are_pushing(), self.is_doubtful) {
            (false, _) => Counts::Exact,
            (true, false) => Counts::LowerBound,
            (true, true) => Counts::Estimated,
        }
    }

    /// How many of `wanted` unexplained pushes count as jobs; none if there is no list that can have
    /// had any. Of the rest the `recent` ones may be on their way to be delivered; earlier ones were no
    /// jobs.
    pub(super) fn admit(&mut self, wanted: Option<u64>, recent: u64, span: Span) -> u64 {
        let were_pushing = self.are_pushing();
        let admitted = self.admit_some(wanted, recent, span);
        self.has_admitted |= admitted > 0;
        if self.are_pushing() && self.has_admitted {
            // Some of those may have been theirs.
            self.is_doubtful |= !were_pushing || self.deliveries.is_enough();
        }
        admitted
    }

    fn admit_some(&mut self, wanted: Option<u64>, recent: u64, span: Span) -> u64 {
        self.pushes.fade();
        self.deliveries.fade();
        let Some(takes) = span.takes else {
            return wanted.unwrap_or(0);
        };
        let takes = takes.saturating_add(self.owed);
        let Some(deliveries) = span.deliveries else {
            let Some(wanted) = wanted else {
                self.owed = takes;
                return 0;
            };
            let admitted = match self.are_pushing() {
                true => 0,
                false => wanted.min(takes),
            };
            self.owed = (takes - admitted).min(BLOCKED);
            self.note_rest(wanted - admitted, recent);
            return admitted;
        };
        let wanted = wanted.unwrap_or(0);
        self.deliveries.add(deliveries.saturating_sub(takes) as f64);
        let delivered = deliveries.min(takes);
        self.owed = (takes - delivered).min(BLOCKED);
        let some = FEW + delivered as f64 / 4.0;
        // Then what has left says nothing of what was delivered.
        let is_purge = span.is_purge || span.left as f64 > delivered as f64 + some;
        if !is_purge && span.is_whole {
            if self.spare < 0.0 {
                self.spare *= KEEP_DEBT;
            }
            self.spare += delivered as f64 - span.left as f64;
        }
        let spare = self.spare.max(0.0);
        // What left while the lists were read has been delivered only after the count.
        let late = FEW.min(span.left as f64);
        let admitted = match self.are_pushing() {
            true if span.is_alone && !self.deliveries.is_enough() => {
                wanted.min(delivered).min(spare as u64)
            }
            true => 0,
            false if span.is_purge => wanted,
            false if is_purge || !span.is_whole => wanted.min(delivered),
            false => wanted
                .min(delivered + (spare + late) as u64)
                .min((spare + some) as u64),
        };
        if span.is_purge {
            return admitted;
        }
        self.note_rest(wanted - admitted, recent);
        self.spare = match span.is_whole {
            true => self.spare - admitted as f64,
            false => 0.0,
        };
        if self.spare < -2.0 * some {
            self.pushes.add(-self.spare);
            self.spare = 0.0;
            self.is_doubtful = true;
        }
        admitted
    }

    fn note_rest(&mut self, rest: u64, recent: u64) {
        self.pushes.add(rest.saturating_sub(recent) as f64);
    }
}

// === impl Evidence ===

impl Evidence {
    fn fade(&mut self) {
        self.0 *= KEEP;
    }

    fn add(&mut self, count: f64) {
        // Whatever there has been, it is forgotten within two hours of polls.
        self.0 = (self.0 + count).min(1e3 * FEW);
    }

    fn is_enough(&self) -> bool {
        self.0 > FEW
    }
}
