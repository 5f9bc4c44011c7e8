//! What single jobs' recorded times add up to.

use super::Timestamp;
use super::flow::{Settings, Waits};
use super::observation::Measured;
use std::sync::Arc;
use std::time::Duration;

/// One job's wait or run time, to tell where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub id: Arc<str>,
    pub time: Duration,
    pub at: Timestamp,
}

/// Waits and run times of single jobs, since the first poll. Immutable and shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeasuredView {
    /// Of all jobs that started; absent until one has, and for good once only some were seen: what
    /// has stopped counting all must not stand for all.
    pub waits: Option<Waits>,
    /// Of some of the jobs that started.
    pub sampled_waits: Option<Waits>,
    /// Of jobs that ended.
    pub runs: Option<Waits>,
    /// Jobs among `waits` that waited longer than the objective allows.
    pub late: u64,
    /// Observations before which records were lost.
    pub gaps: u64,
    /// Only some of the jobs that start are seen.
    pub is_sample: bool,
    /// The latest job for each bucket of waits and of run times, where ids are known.
    pub wait_examples: Examples,
    pub run_examples: Examples,
}

/// At most one job for each bucket, in their order; the last is for what is above all bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples(Vec<Option<Example>>);

impl Examples {
    fn note(&mut self, seen: &[Example], bounds: &[f64]) {
        for example in seen {
            self.0.resize(bounds.len() + 1, None);
            let secs = example.time.as_secs_f64();
            let at = bounds.partition_point(|bound| *bound < secs);
            if let Some(place) = self.0.get_mut(at)
                && place.as_ref().is_none_or(|known| known.at <= example.at)
            {
                *place = Some(example.clone());
            }
        }
    }

    /// That of one bucket.
    pub fn of(&self, bucket: usize) -> Option<&Example> {
        self.0.get(bucket)?.as_ref()
    }
}

impl MeasuredView {
    /// What was known before with the jobs of one more observation.
    pub(super) fn after(
        before: Option<Arc<Self>>,
        seen: &Measured,
        settings: &Settings<'_>,
    ) -> Arc<Self> {
        let mut view = match before {
            Some(view)
                if *seen
                    == Measured {
                        is_sample: view.is_sample,
                        ..Measured::default()
                    } =>
            {
                return view;
            }
            Some(view) => Arc::unwrap_or_clone(view),
            None => Self::default(),
        };
        view.is_sample |= seen.is_sample;
        let waits = match view.is_sample {
            true => &mut view.sampled_waits,
            false => &mut view.waits,
        };
        record(waits, &seen.waits, settings.buckets);
        record(&mut view.runs, &seen.runs, settings.buckets);
        view.wait_examples
            .note(&seen.wait_examples, settings.buckets);
        view.run_examples.note(&seen.run_examples, settings.buckets);
        if view.is_sample {
            (view.waits, view.late) = (None, 0);
        } else if let Some(objective) = settings.objective {
            let late = seen.waits.iter().filter(|wait| **wait > objective).count();
            view.late = view.late.saturating_add(late as u64);
        }
        view.gaps = view.gaps.saturating_add(seen.has_gap.into());
        Arc::new(view)
    }
}

fn record(into: &mut Option<Waits>, times: &[Duration], buckets: &Arc<[f64]>) {
    for time in times {
        into.get_or_insert_with(|| Waits::new(Arc::clone(buckets)))
            .record(*time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::flow::Witness;

    #[test]
    fn a_sample_is_kept_apart_from_what_is_counted() {
        let buckets: Arc<[f64]> = [1.0, 10.0].into();
        let secs = Duration::from_secs;
        let all = Measured {
            waits: vec![secs(1), secs(5)],
            runs: vec![secs(20)],
            ..Measured::default()
        };
        let some = Measured {
            waits: vec![secs(3)],
            is_sample: true,
            has_gap: true,
            ..Measured::default()
        };
        let settings = Settings {
            buckets: &buckets,
            objective: Some(secs(2)),
            starts: u64::MAX,
            witness: &Witness::default(),
        };
        let view = MeasuredView::after(None, &all, &settings);
        let same = MeasuredView::after(Some(Arc::clone(&view)), &Measured::default(), &settings);
        assert!(Arc::ptr_eq(&view, &same));
        drop(same);
        let waits = view.waits.as_ref().unwrap();
        assert_eq!((waits.count(), waits.sum(), view.late), (2, 6.0, 1));
        assert_eq!(waits.buckets().collect::<Vec<_>>(), [(1.0, 1), (10.0, 2)]);
        let view = Arc::unwrap_or_clone(MeasuredView::after(Some(view), &some, &settings));
        assert_eq!(view.sampled_waits.as_ref().unwrap().count(), 1);
        assert_eq!(
            view.runs.as_ref().unwrap().buckets().last(),
            Some((10.0, 0))
        );
        assert_eq!(view.gaps, 1);
        // Nothing stands for all jobs any more, also not what is counted as if it did.
        assert_eq!((&view.waits, view.late), (&None, 0));
        let later = MeasuredView::after(Some(Arc::new(view)), &all, &settings);
        assert_eq!((&later.waits, later.late), (&None, 0));
        assert_eq!(later.sampled_waits.as_ref().unwrap().count(), 3);
    }
}
