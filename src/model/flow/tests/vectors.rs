//! The curve against the vectors of the reference model.

use super::*;
use serde_json::Value;

/// Bursts, a flat spell, a requeue at the head, a purge: inputs and the answers of the reference
/// model, written by an independent implementation in Python.
const VECTORS: &str = include_str!("../../../../tests/fixtures/flow-vectors.json");

fn near(a: f64, b: &Value, what: &str, at: usize) {
    let b = b.as_f64().unwrap();
    assert!(
        (a - b).abs() < 1e-6 * b.abs().max(1.0),
        "{what} of poll {at}: {a}, not {b}"
    );
}

#[test]
fn the_curve_answers_as_the_reference_model_does() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let bounds: Arc<[f64]> = file["le"]
        .as_array()
        .unwrap()
        .iter()
        .map(|le| le.as_f64().unwrap())
        .collect();
    let max_knots = file["kmax"].as_u64().unwrap() as usize;
    let mut curve = WaitCurve::with_max_knots(0.0, 0.01, 0, max_knots);
    let mut total = Moved::default();
    for (at, poll) in file["polls"].as_array().unwrap().iter().enumerate() {
        let [
            s,
            r,
            n,
            a,
            started,
            head,
            segments,
            within,
            sum,
            knots,
            starts,
            removed,
            requeued,
            _,
        ] = poll.as_array().unwrap().as_slice()
        else {
            panic!("columns");
        };
        let (mut waits, mut seen) = (Waits::new(Arc::clone(&bounds)), Vec::new());
        let moved = curve.update(
            Poll {
                from: s.as_f64().unwrap(),
                to: r.as_f64().unwrap(),
                at: r.as_f64().unwrap(),
                ready: n.as_u64().unwrap(),
                arrived: a.as_u64().unwrap(),
                started: started.as_u64(),
                again: 0,
            },
            |segment| {
                waits.add(&segment);
                seen.push(segment);
            },
        );
        total.started += moved.started;
        total.removed += moved.removed;
        total.put_back += moved.put_back;
        for (segment, want) in seen.iter().zip(segments.as_array().unwrap()) {
            assert_eq!(segment.count, want[0].as_u64().unwrap());
            near(segment.first, &want[1], "first", at);
            near(segment.last, &want[2], "last", at);
            near(segment.min, &want[3], "min", at);
            near(segment.max, &want[4], "max", at);
        }
        assert_eq!(seen.len(), segments.as_array().unwrap().len());
        let counted: Vec<u64> = waits.buckets().map(|(_, count)| count).collect();
        let want: Vec<u64> = within
            .as_array()
            .unwrap()
            .iter()
            .map(|count| count.as_u64().unwrap())
            .collect();
        assert_eq!(counted, want, "buckets of poll {at}");
        near(waits.sum(), sum, "sum", at);
        if let Some(age) = curve.head(0, 0) {
            near(age.min, &head[0], "head min", at);
            near(age.estimate, &head[1], "head", at);
            match age.max {
                Some(max) => near(max, &head[2], "head max", at),
                None => assert!(head[2].is_null(), "poll {at}"),
            }
        } else {
            assert_eq!(n.as_u64(), Some(0));
        }
        assert_eq!(curve.knots() as u64, knots.as_u64().unwrap(), "poll {at}");
        assert_eq!(total.started, starts.as_u64().unwrap());
        assert_eq!(total.removed, removed.as_u64().unwrap());
        assert_eq!(total.put_back, requeued.as_u64().unwrap());
    }
}
