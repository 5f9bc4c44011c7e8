//! Metrics about tailback itself: counted by us as things happen, unlike the snapshot's mirrored
//! state.

use super::catalog::{BUILD_INFO, MetricType, POLL_DURATION, POLL_ERRORS};
use super::encode::{Encoder, Value, label};
use crate::model::ErrorKind;
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Clones share their counts.
#[derive(Clone)]
pub struct OwnMetrics {
    registry: Registry,
    poll_duration: HistogramVec,
    poll_errors: IntCounterVec,
}

/// From a poll of an idle local Redis to the longest time limit.
const POLL_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

impl OwnMetrics {
    /// Registers everything, with a series of each error kind for each broker, so that the first
    /// error is seen as an increase.
    pub fn new<'a>(
        version: &str,
        revision: &str,
        brokers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let poll_duration = HistogramVec::new(
            HistogramOpts::new(POLL_DURATION.name, POLL_DURATION.help)
                .buckets(POLL_BUCKETS.to_vec()),
            POLL_DURATION.labels,
        )?;
        let poll_errors = IntCounterVec::new(
            Opts::new(POLL_ERRORS.name, POLL_ERRORS.help),
            POLL_ERRORS.labels,
        )?;
        let build = GaugeVec::new(
            Opts::new(BUILD_INFO.name, BUILD_INFO.help),
            BUILD_INFO.labels,
        )?;
        build.with_label_values(&[version, revision]).set(1.0);
        registry.register(Box::new(poll_duration.clone()))?;
        registry.register(Box::new(poll_errors.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let own = Self {
            registry,
            poll_duration,
            poll_errors,
        };
        for broker in brokers {
            own.poll_duration.with_label_values(&[broker]);
            for kind in ErrorKind::ALL {
                own.poll_errors.with_label_values(&[broker, kind.as_str()]);
            }
        }
        Ok(own)
    }

    pub fn poll_took(&self, broker: &str, took: Duration) {
        self.poll_duration
            .with_label_values(&[broker])
            .observe(took.as_secs_f64());
    }

    pub fn poll_error(&self, broker: &str, kind: ErrorKind) {
        self.poll_errors
            .with_label_values(&[broker, kind.as_str()])
            .inc();
    }

    pub(super) fn write(&self, encoder: &mut Encoder<'_>) {
        for family in self.registry.gather() {
            write_family(encoder, &family);
        }
    }
}

fn write_family(encoder: &mut Encoder<'_>, family: &MetricFamily) {
    use prometheus::proto::MetricType as Proto;
    let kind = match family.get_field_type() {
        Proto::COUNTER => MetricType::Counter,
        Proto::HISTOGRAM => MetricType::Histogram,
        _ => MetricType::Gauge,
    };
    encoder.header(family.name(), family.help(), kind);
    for metric in family.get_metric() {
        let mut labels = String::new();
        for pair in metric.get_label() {
            label(&mut labels, pair.name(), pair.value());
        }
        match kind {
            MetricType::Histogram => write_histogram(encoder, family.name(), &labels, metric),
            MetricType::Counter => {
                encoder.sample(
                    family.name(),
                    &labels,
                    None,
                    Value::Float(metric.get_counter().get_value()),
                );
            }
            MetricType::Gauge => {
                encoder.sample(
                    family.name(),
                    &labels,
                    None,
                    Value::Float(metric.get_gauge().get_value()),
                );
            }
        }
    }
}

fn write_histogram(encoder: &mut Encoder<'_>, name: &str, labels: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let bucket = format!("{name}_bucket");
    let mut buffer = ryu::Buffer::new();
    for step in histogram.get_bucket() {
        // With a decimal point always, so that Prometheus 2 and 3 make the same label of it.
        let le = buffer.format(step.upper_bound());
        encoder.sample(
            &bucket,
            labels,
            Some(("le", le)),
            Value::Int(step.cumulative_count()),
        );
    }
    let count = Value::Int(histogram.get_sample_count());
    encoder.sample(&bucket, labels, Some(("le", "+Inf")), count);
    encoder.sample(
        &format!("{name}_sum"),
        labels,
        None,
        Value::Float(histogram.get_sample_sum()),
    );
    encoder.sample(&format!("{name}_count"), labels, None, count);
}
