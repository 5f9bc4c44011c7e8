//! From the heads of the lines to the latency of the queue.

use super::curve::WaitCurve;
use super::sample::{HeadState, LineSample};
use super::view::FlowBasis;
use crate::model::Window;
use crate::model::latency::{Age, Latency, LatencySource, Reason};
use std::time::Duration;

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

pub(super) fn line_age(curve: &WaitCurve, sample: &LineSample, window: Window) -> Option<LineAge> {
    let head = sample.head;
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
        } => {
            let at = crate::model::Head::Since {
                earliest,
                latest,
                upper_is_hard,
                source,
            };
            let Latency::Known { age, .. } = Latency::from_head(at, window) else {
                return None;
            };
            Some(LineAge {
                min: age.min.as_secs_f64(),
                estimate: age.estimate.as_secs_f64(),
                max: age.max.map(|max| max.as_secs_f64()),
                source,
                basis: FlowBasis::Timestamp,
                unknown: None,
            })
        }
        HeadState::Waiting => curve.head(head.skip, head.put_back).map(|age| LineAge {
            min: age.min,
            estimate: age.estimate,
            max: age.max,
            source: LatencySource::Flow,
            basis: age.basis.into(),
            unknown: None,
        }),
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
