//! Lists that are not used in order: recognised, or at least bounded.

use super::*;

#[test]
fn taking_from_the_wrong_end_leaves_a_lower_bound() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(50).checked();
    for _ in 0..5 {
        assert!(!list.push(3).take_from_tail(6).checked());
    }
}

#[test]
fn removing_from_the_middle_leaves_a_lower_bound_until_all_that_was_there_has_left() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(50).checked();
    assert!(!list.remove(10, 10).push(5).checked());
    assert!(!list.push(5).pop(20).checked());
    assert!(list.push(5).pop(30).checked());
}

#[test]
fn going_round_leaves_a_lower_bound() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(20).checked();
    let turn = |list: &mut Tracked, times| assert!(!list.rotate(times).checked(), "{times}");
    for times in [1, 3, 1] {
        turn(&mut list, times);
    }
    // Where anything may be pushed, also if it went further than by one, and among others that came.
    let mut list = Tracked::new(false);
    list.poll();
    list.push(20).checked();
    for times in [7, 19, 45] {
        turn(list.push(4), times);
    }
    // What has been seen once is believed in for a while, also where nothing could show it.
    list.push(3);
    turn(list.pop(30), 2);
}

#[test]
fn a_job_that_is_tried_again_is_no_sign_of_lasting_disorder() {
    let mut list = Tracked::new(true);
    list.kind = Elements::Returning;
    list.poll();
    list.push(2).checked();
    let (again, _) = list.elements.pop_back().unwrap();
    list.pop(1);
    list.elements.push_front((again, list.now));
    list.checked();
    list.push(5).pop(1).checked();
    assert!(list.push(5).pop(3).checked());
}

#[test]
fn a_job_that_looks_like_the_last_one_is_not_taken_for_it() {
    let mut list = Tracked::new(false);
    list.poll();
    for _ in 0..3 {
        list.push_alike(1).checked();
        list.pop(1).checked();
    }
    // It is taken and another comes, between any two polls: it only looks as if the first waited.
    for _ in 0..20 {
        list.pop(1).push_alike(1).checked();
    }
}

#[test]
fn what_is_put_back_into_an_emptied_list_is_not_new() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(1).checked();
    let only = list.elements.pop_back().unwrap();
    list.checked();
    assert!(!list.put_back([only]).checked());
    assert!(!list.push(3).checked());
    assert!(list.pop(1).checked());
}

#[test]
fn urgent_jobs_at_the_head_leave_a_lower_bound() {
    let mut list = Tracked::new(false);
    list.poll();
    list.push(60).checked();
    list.put_at_head(2);
    assert!(!list.checked());
    for (push, urgent, pop) in [(3, 2, 2), (3, 1, 5), (0, 4, 9), (9, 0, 9), (2, 3, 1)] {
        list.push(push).pop(pop).put_at_head(urgent);
        assert!(!list.checked(), "{push} {urgent} {pop}");
    }
}

#[test]
fn elements_that_are_all_alike_leave_wide_bounds() {
    let mut list = Tracked::new(false);
    list.poll();
    list.push_alike(40).checked();
    for _ in 0..30 {
        list.push_alike(7).pop(9);
        list.checked();
    }
    // The queue grows and shrinks: what is known stays true.
    list.push_alike(500).checked();
    list.pop(300).checked();
    list.pop(300).checked();
}

#[test]
fn what_is_put_back_at_the_head_leaves_a_lower_bound() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(30).checked();
    let taken: Vec<_> = (0..8).map(|_| list.elements.pop_back().unwrap()).collect();
    assert!(list.push(4).checked());
    assert!(!list.put_back(taken).push(4).checked());
    assert!(list.pop(12).checked());
}

#[test]
fn elements_too_large_to_be_remembered_leave_bounds_and_are_fetched_once_a_minute() {
    for unique in [true, false] {
        let mut list = Tracked::new(unique);
        list.poll();
        let push = |list: &mut Tracked, count| {
            for job in 0..count {
                let element = format!("{} {job} {}", list.now, "x".repeat(20_000));
                list.elements.push_front((element.into_bytes(), list.now));
            }
        };
        push(&mut list, 30);
        list.checked();
        for _ in 0..20 {
            push(&mut list, 4);
            list.pop(3).checked();
            let marks = list.memory.get(&b"q".as_slice().into(), 0);
            let held = marks.held.as_ref().unwrap();
            assert!(held.tail.is_none() && held.near.is_none());
        }
        let marks = list.memory.get(&b"q".as_slice().into(), 0);
        let mut watch = Watch::new(b"q".as_slice().into(), Side::Right, list.kind, marks);
        let Read::Atomic(_, reads) = watch.ask(50, false, &list.memory) else {
            panic!("a transaction");
        };
        // What job systems write has a size that is asked first, and a head that is read for its time.
        assert_eq!(reads.len(), 1 + usize::from(unique), "{reads:?}");
    }
}
