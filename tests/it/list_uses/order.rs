//! Lists of which the elements alone do not show whether they were used in order: then it is for the
//! server to tell what was called.

use super::{Job, KEY, Used, basis, push, take};
use crate::support::redis::Redis;

/// A list that is watched by somebody who may do no more than this.
fn watched_with(rights: &[&str]) -> Used {
    let user = |redis: &Redis| {
        let rule = ["ACL", "SETUSER", "tail", "on", ">pw", "~*"];
        assert_eq!(redis.cli(&[&rule[..], rights].concat()), "OK");
    };
    Used::watched(0, |redis| {
        user(redis);
        redis.url().replace("redis://", "redis://tail:pw@")
    })
}

fn has_max(list: &Used) -> bool {
    let body = list.seen();
    assert_eq!(
        body["latency_max_seconds"].is_null(),
        basis(&body) != "curve",
        "{body}"
    );
    basis(&body) == "curve"
}

#[test]
fn most_of_a_list_taken_at_both_ends_between_two_polls_is_not_taken_for_a_drained_one() {
    let mut list = Used::new();
    list.push(30);
    assert!(has_max(&list));
    list.change(|pipe, jobs, number| {
        take(pipe, jobs, 10);
        (0..15).for_each(|_| {
            pipe.lpop(KEY, None).ignore();
            jobs.remove(0);
        });
        push(pipe, jobs, number, 6);
    });
    assert!(!has_max(&list));
    // Once all that was there has left, in order, all is known again.
    list.push(3);
    list.take(11);
    assert!(has_max(&list));
}

#[test]
fn old_jobs_put_back_among_new_ones_into_an_emptied_list_are_not_taken_for_new() {
    let mut list = Used::new();
    list.push(4);
    list.seen();
    let old: Vec<Job> = list.waiting.iter().take(2).cloned().collect();
    list.take(4);
    list.seen();
    list.change(|pipe, jobs, number| {
        push(pipe, jobs, number, 3);
        for job in old {
            pipe.rpush(KEY, &job.payload).ignore();
            jobs.push(job);
        }
        push(pipe, jobs, number, 1);
        take(pipe, jobs, 1);
    });
    assert!(!has_max(&list));
}

#[test]
fn every_use_at_random_leaves_the_truth_inside() {
    let mut list = Used::new();
    let mut taken: Vec<Job> = Vec::new();
    // A plain generator, so that a failure can be repeated.
    let mut state = 42_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for round in 0..40 {
        let uses: Vec<(usize, usize)> = (0..3).map(|_| (random(8), 1 + random(20))).collect();
        let at = random(1000);
        list.change(|pipe, jobs, number| {
            for (what, count) in uses {
                let count = count.min(jobs.len());
                match what {
                    0..=2 => push(pipe, jobs, number, count + 3),
                    3 | 4 => {
                        taken.extend(jobs.iter().rev().take(count).cloned());
                        if count > 0 {
                            take(pipe, jobs, count);
                        }
                    }
                    5 => (0..count).for_each(|_| {
                        pipe.lpop(KEY, None).ignore();
                        jobs.remove(0);
                    }),
                    6 => {
                        let back = taken.split_off(taken.len().saturating_sub(3));
                        for job in back.into_iter().filter(|job| !job.pushed.0.is_nan()) {
                            pipe.rpush(KEY, &job.payload).ignore();
                            jobs.push(job);
                        }
                    }
                    _ if count > 0 => {
                        let job = jobs.remove(at % jobs.len());
                        pipe.lrem(KEY, 1, job.payload).ignore();
                    }
                    _ => {}
                }
            }
            // Of jobs that were not there at any poll nothing is known.
            taken.retain(|job| !job.pushed.0.is_nan());
        });
        eprint!("{round}: ");
        list.seen();
    }
}

#[test]
fn a_reliable_queue_keeps_both_bounds_while_jobs_wait() {
    for (move_one, ends) in [("RPOPLPUSH", &[][..]), ("LMOVE", &["RIGHT", "LEFT"][..])] {
        let mut list = Used::new();
        list.push(100);
        assert!(has_max(&list));
        for more in [0, 4, 9] {
            list.change(|pipe, jobs, number| {
                push(pipe, jobs, number, more);
                for job in jobs.drain(jobs.len() - 7..).rev() {
                    pipe.cmd(move_one)
                        .arg(KEY)
                        .arg("working")
                        .arg(ends)
                        .ignore();
                    pipe.lrem("working", 1, job.payload).ignore();
                }
            });
            assert!(has_max(&list), "{move_one}");
        }
    }
}

#[test]
fn what_others_do_elsewhere_is_held_against_a_list_only_where_its_elements_show_nothing() {
    let mut list = Used::new();
    list.push(20);
    list.seen();
    let elsewhere = |list: &Used| {
        list.redis.cli(&["RPUSH", "other", "a", "b"]);
        list.redis.cli(&["LPOP", "other"]);
    };
    // Its head is where it should be.
    elsewhere(&list);
    list.take(5);
    assert!(has_max(&list));
    // All of it is gone: then nothing shows that what is there now is new.
    elsewhere(&list);
    list.change(|pipe, jobs, number| {
        take(pipe, jobs, 15);
        push(pipe, jobs, number, 2);
    });
    assert!(!has_max(&list));
    list.change(|pipe, jobs, number| {
        take(pipe, jobs, 2);
        push(pipe, jobs, number, 2);
    });
    assert!(has_max(&list));
}

#[test]
fn where_the_server_may_not_be_asked_only_the_elements_show_the_order() {
    let mut list = watched_with(&["+@read", "+@connection", "+@transaction", "+time", "-info"]);
    list.push(60);
    let body = list.seen();
    assert_eq!(basis(&body), "unordered", "{body}");
    let reason = body["latency_max_unknown_reason"].as_str().unwrap();
    assert!(reason.contains("may have been"), "{reason}");
    // What came since is at the head, in the order in which it came.
    list.push(10);
    list.seen();
    while list.waiting.len() > 5 {
        list.take(5);
        list.seen();
    }
    let body = list.seen();
    assert_eq!(basis(&body), "curve", "{body}");
}
