//! Which lines get the jobs that nobody has seen.
//!
//! A job comes and goes unseen only where jobs go quickly, and only in a list that was empty or has
//! turned over between two polls. So a line gets some if it has shown that: jobs seen in it were
//! gone by the next poll, or several left it between two. What was given out by a guess is never
//! evidence. How many each gets goes by the rate of arrivals measured while every one was counted;
//! where there is none, by how many jobs were found there at a look.

use super::Claim;

/// Arrivals between two polls for each job that is found in the list at a poll, where no line tells
/// both: as if jobs waited for a tenth of the interval.
const ARRIVALS_PER_CATCH: f64 = 10.0;

/// The parts of the lines; all nothing if no line has shown that jobs go through it quickly, unless
/// there is only one queue that can have had them.
pub(super) fn weights(claims: &[Claim], is_only_one: bool) -> Vec<f64> {
    let of = |weight: &dyn Fn(&Claim) -> f64| -> Vec<f64> {
        let weight = |claim: &Claim| match claim.may_have_more {
            true => weight(claim),
            false => 0.0,
        };
        claims.iter().map(weight).collect()
    };
    let per_catch = per_catch(claims);
    let by_arrivals = of(&|claim| {
        let arrivals = match claim.measured > 0.0 {
            true => claim.measured,
            false => claim.caught * per_catch,
        };
        match claim.is_quick {
            true => arrivals * claim.free(),
            false => 0.0,
        }
    });
    let is_any = |weights: &Vec<f64>| weights.iter().any(|weight| *weight > 0.0);
    let is_default = |claim: &Claim| f64::from(u8::from(claim.is_default));
    let is_likely = |claim: &Claim| f64::from(u8::from(claim.is_likely()));
    let nothing = || vec![0.0; claims.len()];
    Some(by_arrivals)
        .filter(is_any)
        .or_else(|| Some(of(&is_default)).filter(|all| is_only_one && is_any(all)))
        .or_else(|| Some(of(&is_likely)).filter(|_| is_only_one))
        .unwrap_or_else(nothing)
}

/// Arrivals for each job that is found at a poll, in the lines that tell both.
fn per_catch(claims: &[Claim]) -> f64 {
    let both = |claim: &&Claim| claim.is_quick && claim.measured > 0.0 && claim.caught > 0.0;
    let (measured, caught) = claims
        .iter()
        .filter(both)
        .fold((0.0, 0.0), |(measured, caught), claim| {
            (measured + claim.measured, caught + claim.caught)
        });
    match caught > 0.0 {
        true => measured / caught,
        false => ARRIVALS_PER_CATCH,
    }
}

pub(super) fn are_several_queues(claims: &[Claim], is_one: impl Fn(&Claim) -> bool) -> bool {
    let mut queues = claims.iter().filter(|claim| is_one(claim));
    let first = queues.next().map(|claim| claim.queue);
    queues.any(|claim| Some(claim.queue) != first)
}

/// Shares so many out by weight, in whole numbers.
pub(super) fn share(mut all: u64, weights: &[f64]) -> Vec<u64> {
    let mut left: f64 = weights.iter().sum();
    let mut shares = vec![0; weights.len()];
    for (share, weight) in shares.iter_mut().zip(weights) {
        if *weight > 0.0 && left > 0.0 {
            *share = ((all as f64 * weight / left).round() as u64).min(all);
            all -= *share;
            left -= weight;
        }
    }
    shares
}
