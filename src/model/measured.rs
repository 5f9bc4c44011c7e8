//! What single jobs' recorded times add up to.

use super::flow::Waits;
use super::observation::Measured;
use std::sync::Arc;

/// Waits and run times of single jobs, since the first poll. Immutable and shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeasuredView {
    /// Of all jobs that started; absent until one has, or where only a sample is seen.
    pub waits: Option<Waits>,
    /// Of some of the jobs that started.
    pub sampled_waits: Option<Waits>,
    /// Of jobs that ended.
    pub runs: Option<Waits>,
    /// Observations before which records were lost.
    pub gaps: u64,
}

impl MeasuredView {
    /// The same with the jobs of one more observation.
    #[must_use]
    pub fn with(mut self, measured: &Measured, buckets: &Arc<[f64]>) -> Self {
        let waits = match measured.is_sample {
            true => &mut self.sampled_waits,
            false => &mut self.waits,
        };
        record(waits, &measured.waits, buckets);
        record(&mut self.runs, &measured.runs, buckets);
        self.gaps = self.gaps.saturating_add(measured.has_gap.into());
        self
    }
}

fn record(into: &mut Option<Waits>, times: &[std::time::Duration], buckets: &Arc<[f64]>) {
    for time in times {
        into.get_or_insert_with(|| Waits::new(Arc::clone(buckets)))
            .record(*time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
        let view = MeasuredView::default()
            .with(&all, &buckets)
            .with(&some, &buckets);
        let waits = view.waits.unwrap();
        assert_eq!((waits.count(), waits.sum()), (2, 6.0));
        assert_eq!(waits.buckets().collect::<Vec<_>>(), [(1.0, 1), (10.0, 2)]);
        assert_eq!(view.sampled_waits.unwrap().count(), 1);
        assert_eq!(view.runs.unwrap().buckets().last(), Some((10.0, 0)));
        assert_eq!(view.gaps, 1);
    }
}
