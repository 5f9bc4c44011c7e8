//! Lists that are taken from in the order of arrival.

use super::*;

#[test]
fn arrivals_are_counted_to_the_one_at_either_end_and_in_any_length() {
    for (head, unique) in [
        (Side::Right, true),
        (Side::Left, true),
        (Side::Right, false),
        (Side::Left, false),
    ] {
        let mut list = Tracked::new(unique);
        list.head = head;
        list.poll();
        let mut pushed = 0;
        for (push, pop) in [
            (5, 0),
            (40, 3),
            (3000, 30),
            (100, 900),
            (7, 1500),
            (300, 0),
            (0, 400),
            (0, 10),
        ] {
            list.push(push).pop(pop);
            pushed += push as u64;
            assert!(list.checked(), "{head:?} {push} {pop}");
            assert_eq!(list.enqueued(), pushed, "{head:?} {push} {pop}");
        }
    }
}

#[test]
fn a_server_that_does_not_search_is_read_instead() {
    for head in [Side::Right, Side::Left] {
        let mut list = Tracked::new(true);
        (list.head, list.is_old) = (head, true);
        list.poll();
        let mut pushed = 0;
        for (push, pop, fetched) in [
            (5, 0, 0),
            (40, 3, 128),
            (20, 30, 32),
            (3000, 0, 512),
            (100, 900, 128),
            (450, 0, 512),
            (3000, 2, 512),
            (0, 0, 32),
        ] {
            list.fetched = 0;
            list.push(push).pop(pop);
            pushed += push as u64;
            assert!(list.checked(), "{head:?} {push} {pop}");
            assert_eq!(list.enqueued(), pushed, "{head:?} {push} {pop}");
            assert!(list.fetched <= fetched, "{head:?} {push}: {}", list.fetched);
        }
        // Beyond what is fetched, the truth stays inside.
        list.push(3000).pop(2900);
        assert!(list.checked());
        assert!(list.enqueued() < pushed + 3000);
        list.push(3).pop(5000);
        assert!(list.checked());
    }
}

#[test]
fn draining_and_refilling_between_two_polls_is_noticed() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(30).checked();
    list.pop(30).push(20);
    assert!(list.checked());
    assert_eq!(list.enqueued(), 50);
    let Latency::Known { age, .. } = list.poll() else {
        panic!("known");
    };
    assert_eq!(age.max.unwrap().as_secs(), 2);
}

#[test]
fn more_than_a_search_reaches_leaves_the_truth_inside() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(9000).checked();
    for _ in 0..5 {
        list.push(4000).pop(3500);
        assert!(list.checked());
    }
    assert!(list.enqueued() < 29_000);
    // Once it moves slowly again, bounds close in on what came since.
    for _ in 0..9 {
        list.push(100).pop(1800);
        assert!(list.checked());
    }
}

proptest! {
    #[test]
    fn in_order_the_truth_is_inside(polls in prop::collection::vec((0usize..400, 0usize..400), 1..40), unique in any::<bool>(), is_old in any::<bool>()) {
        let mut list = Tracked::new(unique);
        list.is_old = is_old;
        list.poll();
        for (push, pop) in polls {
            list.push(push).pop(pop);
            prop_assert!(list.checked());
        }
    }
}
