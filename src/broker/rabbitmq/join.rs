//! Several futures at once, without tasks of their own: what is dropped takes all of them along.

use super::http::LANES;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

/// Drives all of them at once, started in their order.
pub(super) async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(move |cx| {
        let mut is_done = true;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(ready) => *output = Some(ready),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if !is_done {
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut outputs).into_iter().flatten().collect())
    })
    .await
}

/// Does the same with each item, in their order, with as many at once as there may be requests.
pub(super) async fn each<T, F: Future>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> Vec<F::Output> {
    let items = Mutex::new(items.into_iter());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = async || {
        let mut outputs = Vec::new();
        while let Some(item) = next() {
            outputs.push(work(item).await);
        }
        outputs
    };
    let lanes = join((0..LANES).map(|_| lane()).collect()).await;
    lanes.into_iter().flatten().collect()
}
