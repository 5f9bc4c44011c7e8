//! Cases of the Kubernetes documentation ("Horizontal Pod Autoscaling") and of the algorithm that it
//! describes.

use super::*;
use serde_json::json;

fn hpa(target: Target, behavior: serde_json::Value, max: u32) -> Hpa {
    let behavior: Behavior = serde_json::from_value(behavior).unwrap();
    Hpa::new(target, &behavior, 1, max)
}

/// Pods after each sync, 15 s apart, where all that are ordered are ready at once.
fn course(hpa: &mut Hpa, mut pods: u32, metrics: &[f64]) -> Vec<u32> {
    let syncs = metrics.iter().enumerate();
    syncs
        .map(|(number, metric)| {
            pods = hpa.sync(number as f64 * 15.0, pods, pods, Some(*metric));
            pods
        })
        .collect()
}

const ONE: Target = Target::AverageValue(1.0);

#[test]
fn a_value_scales_the_pods_that_are_ready() {
    // "if the current metric value is 200m, and the desired value is 100m, the number of replicas
    // will be doubled"; "if the current value is instead 50m, the number will be halved".
    let mut doubled = hpa(Target::Value(100.0), json!({}), 100);
    assert_eq!(doubled.sync(0.0, 4, 4, Some(200.0)), 8);
    // Those that are not ready yet do not count.
    let mut half_ready = hpa(Target::Value(100.0), json!({}), 100);
    assert_eq!(half_ready.sync(0.0, 4, 3, Some(200.0)), 6);
    let at_once = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    let mut halved = hpa(Target::Value(100.0), at_once, 100);
    assert_eq!(halved.sync(0.0, 4, 4, Some(50.0)), 2);
}

#[test]
fn an_average_value_does_not_depend_on_the_pods() {
    for (current, ready) in [(4, 4), (3, 0), (5, 5)] {
        let mut hpa = hpa(Target::AverageValue(5.0), json!({}), 100);
        assert_eq!(hpa.sync(0.0, current, ready, Some(31.0)), 7);
    }
    // Whole quotients are not rounded up, whatever floating point makes of them.
    let mut whole = hpa(Target::AverageValue(0.1), json!({}), 100);
    assert_eq!(whole.sync(0.0, 5, 5, Some(0.7)), 7);
}

#[test]
fn within_the_tolerance_nothing_happens() {
    // "skips any scaling action if the ratio is sufficiently close to 1.0 (0.1, by default)"
    for (metric, pods) in [(10.9, 10), (11.0, 10), (11.01, 12), (9.1, 10), (8.99, 9)] {
        let at_once = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
        let mut hpa = hpa(ONE, at_once, 100);
        assert_eq!(hpa.sync(0.0, 10, 10, Some(metric)), pods, "{metric}");
    }
    let tight = json!({"scaleUp": {"tolerance": 0.0}});
    assert_eq!(hpa(ONE, tight, 100).sync(0.0, 10, 10, Some(10.1)), 11);
}

#[test]
fn without_a_metric_nothing_happens() {
    let mut hpa = hpa(ONE, json!({}), 10);
    assert_eq!(hpa.sync(0.0, 7, 7, None), 7);
    assert_eq!(hpa.sync(15.0, 20, 20, None), 10);
}

#[test]
fn the_default_doubles_or_adds_four_and_waits_five_minutes() {
    let mut hpa = hpa(ONE, json!({}), 50);
    assert_eq!(course(&mut hpa, 1, &[99.0; 5]), [5, 10, 20, 40, 50]);
    let pods: Vec<u32> = (5..=30)
        .map(|sync| hpa.sync(f64::from(sync) * 15.0, 50, 50, Some(0.0)))
        .collect();
    // The last that was wanted at 60 s is forgotten 300 s later.
    let first = pods.iter().position(|pods| *pods < 50).unwrap() + 5;
    assert_eq!((first, pods.get(first - 5)), (24, Some(&1)));
}

#[test]
fn the_scale_down_policies_of_the_documentation() {
    // "the autoscaler will scale down 40 pods in the first minute": 10 % of 80 is 8, so Pods 4 a
    // minute is the narrower; "policy with the highest amount of change is selected by default".
    let policies = json!([
        {"type": "Pods", "value": 4, "periodSeconds": 60},
        {"type": "Percent", "value": 10, "periodSeconds": 60},
    ]);
    let down = |select: &str| {
        json!({"scaleDown": {
            "stabilizationWindowSeconds": 0, "selectPolicy": select, "policies": policies,
        }})
    };
    let after_minutes = |select: &str| -> Vec<u32> {
        let (mut hpa, mut pods) = (hpa(ONE, down(select), 100), 80);
        let each = (0..6).map(|minute| {
            pods = hpa.sync(f64::from(minute) * 60.0, pods, pods, Some(10.0));
            pods
        });
        each.collect()
    };
    // "80 replicas and the target is 10: during the first step 8 replicas will be reduced. In the
    // next iteration, 72 replicas, 10 % of the pods is 7.2 but rounded up to 8."
    assert_eq!(after_minutes("Max"), [72, 64, 57, 51, 45, 40]);
    assert_eq!(after_minutes("Min"), [76, 72, 68, 64, 60, 56]);
    assert_eq!(after_minutes("Disabled"), [80; 6]);
}

#[test]
fn a_period_is_a_window_over_what_was_done() {
    let up = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 10, "periodSeconds": 60}]}});
    let mut hpa = hpa(ONE, up, 100);
    // Ten at once, then none until they are a minute old.
    let pods = course(&mut hpa, 1, &[99.0; 9]);
    assert_eq!(pods, [11, 11, 11, 11, 21, 21, 21, 21, 31]);
}

#[test]
fn windows_take_the_gentlest_of_what_was_wanted() {
    let both = json!({
        "scaleUp": {"stabilizationWindowSeconds": 30},
        "scaleDown": {"stabilizationWindowSeconds": 60},
    });
    let mut hpa = hpa(ONE, both, 100);
    let wanted = [8.0, 14.0, 14.0, 9.0, 5.0, 5.0, 5.0, 5.0];
    assert_eq!(course(&mut hpa, 8, &wanted), [8, 8, 14, 14, 14, 14, 9, 5]);
}

#[test]
fn limits_hold() {
    let mut hpa = hpa(
        ONE,
        json!({"scaleDown": {"stabilizationWindowSeconds": 0}}),
        6,
    );
    assert_eq!(course(&mut hpa, 3, &[99.0, 0.0]), [6, 1]);
    assert_eq!(hpa.sync(60.0, 9, 9, Some(9.0)), 6);
    assert_eq!(hpa.sync(75.0, 0, 0, Some(9.0)), 1);
}
