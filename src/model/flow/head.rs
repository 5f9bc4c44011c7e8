//! From the heads of the lines to the latency of the queue.
//!
//! A head that carries its own time is held against the curve: polls have shown between which two
//! instants it came, and a clock that says otherwise is wrong.

use super::curve::{HeadAge, WaitCurve};
use super::sample::{HeadState, LineSample, Span, StampOf};
use super::view::FlowBasis;
use crate::model::latency::{Age, Latency, LatencySource, Reason};
use crate::model::{Head, Timestamp, Window};
use std::time::Duration;

/// How far a producer's clock may be off, and how long its message may be on its way, before its
/// time is taken for wrong: so much, and this share of its age, since clocks run unevenly.
const CLOCK_DOUBT_SECS: f64 = 0.1;
const CLOCK_DRIFT: f64 = 0.001;

/// The age of the head of one line.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineAge {
    min: f64,
    estimate: f64,
    max: Option<f64>,
    source: LatencySource,
    basis: FlowBasis,
    /// Why nothing is known of it, if so.
    unknown: Option<Reason>,
}

pub(super) fn line_age(
    curve: &mut WaitCurve,
    sample: &LineSample,
    span: Span,
    window: Window,
) -> Option<LineAge> {
    let head = sample.head;
    let inferred = |curve: &WaitCurve| curve.head(head.skip, head.put_back).map(LineAge::from);
    match head.state {
        _ if sample.ready == 0 => None,
        HeadState::AllDueLater => None,
        HeadState::Unknown(reason) => Some(LineAge {
            min: 0.0,
            estimate: 0.0,
            max: None,
            source: LatencySource::None,
            basis: FlowBasis::Unknown,
            unknown: Some(reason),
        }),
        HeadState::Stamped {
            earliest,
            latest,
            upper_is_hard,
            source,
            of,
        } => {
            let at = Head::Since {
                earliest,
                latest,
                upper_is_hard,
                source,
            };
            let Latency::Known { age, .. } = Latency::from_head(at, window) else {
                return None;
            };
            let told = LineAge {
                min: age.min.as_secs_f64(),
                estimate: age.estimate.as_secs_f64(),
                max: age.max.map(|max| max.as_secs_f64()),
                source,
                basis: FlowBasis::Timestamp,
                unknown: None,
            };
            let is_in_order = upper_is_hard && head.put_back == 0;
            match of {
                StampOf::Arrival if is_in_order => {}
                StampOf::Due if is_in_order => {
                    let behind = curve.head(head.skip.saturating_add(1), 0);
                    return Some(told.or_behind(inferred(curve), behind.map(LineAge::from)));
                }
                _ => return Some(told),
            }
            let (from, to) = on_our_clock((earliest, latest), span, window);
            if curve.stamp(head.skip, from, to) {
                Some(told.within(inferred(curve)))
            } else {
                inferred(curve).map(|age| LineAge {
                    basis: FlowBasis::TimestampRejected,
                    ..age
                })
            }
        }
        HeadState::Waiting => inferred(curve),
    }
}

/// A time that a message carries, on our clock and with the doubt there is about it.
fn on_our_clock(
    (earliest, latest): (Timestamp, Timestamp),
    span: Span,
    window: Window,
) -> (f64, f64) {
    let at_start = window.from.as_secs_f64() - span.from;
    let at_end = window.to.as_secs_f64() - span.to;
    let from = earliest.as_secs_f64() - at_start.max(at_end);
    let to = latest.as_secs_f64() - at_start.min(at_end);
    let doubt = CLOCK_DOUBT_SECS + CLOCK_DRIFT * (span.to - from).max(0.0);
    (from - doubt, to + doubt)
}

// === impl LineAge ===

impl LineAge {
    /// The same, but not beyond what the flow proves.
    fn within(self, flow: Option<Self>) -> Self {
        let Some(Self {
            min,
            max: Some(max),
            ..
        }) = flow
        else {
            return self;
        };
        let max = max.max(min);
        Self {
            min: self.min.clamp(min, max),
            estimate: self.estimate.clamp(min, max),
            max: self.max.map(|own| own.clamp(min, max)),
            ..self
        }
    }
}

impl LineAge {
    /// It has become due so long ago, but it came earlier: those behind it may be older, up to its
    /// own time in the line.
    fn or_behind(self, flow: Option<Self>, behind: Option<Self>) -> Self {
        let (Some(flow), Some(behind)) = (flow, behind) else {
            return self;
        };
        let max = flow.max.zip(self.max).map(|(flow, own)| flow.max(own));
        let likely = max.map_or(behind.estimate, |max| behind.estimate.min(max));
        Self {
            estimate: self.estimate.max(likely),
            max,
            ..self
        }
    }
}

impl From<HeadAge> for LineAge {
    fn from(age: HeadAge) -> Self {
        Self {
            min: age.min,
            estimate: age.estimate,
            max: age.max,
            source: LatencySource::Flow,
            basis: age.basis.into(),
            unknown: None,
        }
    }
}

/// The oldest of the heads: each bound is the largest, and where one has no upper bound there is
/// none; then the basis tells which was to blame.
pub(super) fn oldest(heads: &[LineAge], window: Window) -> (Latency, FlowBasis) {
    let Some(first) = heads.iter().find(|head| head.unknown.is_none()) else {
        return match heads.first().and_then(|head| head.unknown) {
            None => (Latency::Empty, FlowBasis::Empty),
            Some(reason) => (Latency::Unknown(reason), FlowBasis::Unknown),
        };
    };
    let mut all = *first;
    for head in heads {
        if head.estimate > all.estimate {
            (all.source, all.basis, all.estimate) = (head.source, head.basis, head.estimate);
        }
        all.min = all.min.max(head.min);
        all.max = all.max.zip(head.max).map(|(a, b)| a.max(b));
    }
    if let Some(unbounded) = heads.iter().find(|head| head.max.is_none()) {
        all.basis = unbounded.basis;
    }
    let secs = |secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default();
    let estimate = secs(all.estimate.max(all.min));
    let latency = Latency::Known {
        age: Age {
            estimate,
            min: secs(all.min),
            max: all.max.map(|max| secs(max).max(estimate)),
        },
        since: window.to.minus(estimate),
        source: all.source,
    };
    (latency, all.basis)
}
