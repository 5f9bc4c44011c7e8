//! The five calls of `externalscaler.ExternalScaler`.

use super::answer;
use super::generated::external_scaler_server::ExternalScaler;
use super::generated::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use super::query::Query;
use crate::clock;
use crate::model::Snapshot;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// How often an open stream repeats that there is something to do.
const REPEAT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Scaler {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    cancelled: CancellationToken,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Scaler {
    pub(super) fn new(
        snapshot: watch::Receiver<Arc<Snapshot>>,
        cancelled: CancellationToken,
    ) -> Self {
        Self {
            snapshot,
            cancelled,
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Tells `sender` of every change, and of activity again and again. What is not known is not
    /// told: the queue may come to be with its first job.
    async fn push(mut self, query: Query, sender: mpsc::Sender<Result<IsActiveResponse, Status>>) {
        let mut told = None;
        let mut repeat = tokio::time::interval(REPEAT);
        self.snapshot.mark_changed();
        loop {
            let is_due = tokio::select! {
                () = self.cancelled.cancelled() => return,
                () = sender.closed() => return,
                _ = repeat.tick() => true,
                changed = self.snapshot.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    false
                }
            };
            let snapshot = Arc::clone(&self.snapshot.borrow_and_update());
            let Ok(result) = answer::is_active(&snapshot, &query, clock::now()) else {
                continue;
            };
            if told == Some(result) && !(is_due && result) {
                continue;
            }
            told = Some(result);
            if sender.send(Ok(IsActiveResponse { result })).await.is_err() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    type StreamIsActiveStream = Answers<IsActiveResponse>;
    type StreamMetricSpecStream = Answers<GetMetricSpecResponse>;

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let query = Query::read(&request.get_ref().scaler_metadata)?;
        let result = answer::is_active(&self.snapshot(), &query, clock::now())?;
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let query = Query::read(&request.get_ref().scaler_metadata)?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().push(query, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    /// From the metadata alone, so that KEDA's `fallback` works while the broker is down.
    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let query = Query::read(&request.get_ref().scaler_metadata)?;
        Ok(Response::new(spec(&query)))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let GetMetricsRequest {
            scaled_object_ref,
            metric_name,
        } = request.into_inner();
        let metadata = scaled_object_ref.unwrap_or_default().scaler_metadata;
        let query = Query::read(&metadata)?;
        let value = answer::value(&self.snapshot(), &query, clock::now())?;
        // KEDA adds up what it gets, and takes the fraction where it is above 0.
        let value = MetricValue {
            metric_name,
            metric_value: rounded_up(value),
            metric_value_float: value,
        };
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }

    /// Says it once: it follows from the metadata, which stays the same.
    async fn stream_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamMetricSpecStream>, Status> {
        let query = Query::read(&request.get_ref().scaler_metadata)?;
        let (sender, receiver) = mpsc::channel(1);
        let cancelled = self.cancelled.clone();
        tokio::spawn(async move {
            if sender.send(Ok(spec(&query))).await.is_ok() {
                tokio::select! {
                    () = cancelled.cancelled() => {}
                    () = sender.closed() => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn spec(query: &Query) -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![MetricSpec {
            metric_name: query.metric_name(),
            target_size: rounded_up(query.target),
            target_size_float: query.target,
        }],
    }
}

/// The conversion stops at the largest whole number.
fn rounded_up(value: f64) -> i64 {
    value.ceil() as i64
}
