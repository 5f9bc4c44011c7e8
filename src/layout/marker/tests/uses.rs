//! Lists used in every way at random. Of each way that is recognised, the truth is inside the bounds
//! whatever is done; of all of them mixed, nothing panics.

use super::*;

/// What can happen to a list between two polls.
#[derive(Debug, Clone)]
enum Use {
    Push(usize),
    Pop(usize),
    TakeFromTail(usize),
    Remove(usize),
    PutBack(usize),
    Rotate(usize),
    PutAtHead(usize),
    Purge,
}

impl Tracked {
    /// `taken` are those that were popped, the last one last.
    fn do_it(&mut self, what: &Use, taken: &mut Vec<(Vec<u8>, f64)>) {
        match *what {
            Use::Push(count) => {
                self.push(count);
            }
            Use::Pop(count) => {
                let popped = (0..count).filter_map(|_| self.elements.pop_back());
                taken.extend(popped);
            }
            Use::TakeFromTail(count) => {
                self.take_from_tail(count);
            }
            Use::Remove(at) => {
                self.remove(at, 1);
            }
            Use::PutBack(count) => {
                self.put_back(taken.drain(taken.len().saturating_sub(count)..));
            }
            Use::Rotate(count) => {
                self.rotate(count);
            }
            Use::PutAtHead(count) => {
                self.put_at_head(count);
            }
            Use::Purge => self.elements.clear(),
        }
    }
}

/// Polls, before each of which some of these are done, beside pushes.
fn polls(of: impl Strategy<Value = Use> + 'static) -> impl Strategy<Value = Vec<Vec<Use>>> {
    let one = prop_oneof![2 => (0usize..40).prop_map(Use::Push), 3 => of];
    prop::collection::vec(prop::collection::vec(one, 0..4), 1..40)
}

fn pop() -> impl Strategy<Value = Use> {
    (0usize..40).prop_map(Use::Pop)
}

fn anything() -> impl Strategy<Value = Use> {
    prop_oneof![
        8 => pop(),
        1 => (1usize..5).prop_map(Use::TakeFromTail),
        1 => (0usize..40).prop_map(Use::Remove),
        1 => (1usize..9).prop_map(Use::PutBack),
        1 => (1usize..4).prop_map(Use::Rotate),
        1 => (1usize..4).prop_map(Use::PutAtHead),
        1 => Just(Use::Purge),
    ]
}

/// Does it all, and checks at each poll that the truth is inside the bounds.
fn play(mut list: Tracked, polls: &[Vec<Use>]) {
    let mut taken = Vec::new();
    list.poll();
    for uses in polls {
        uses.iter().for_each(|each| list.do_it(each, &mut taken));
        list.checked();
    }
}

fn list(unique: bool, left: bool) -> Tracked {
    let mut list = Tracked::new(unique);
    list.head = if left { Side::Left } else { Side::Right };
    list
}

proptest! {
    #[test]
    fn no_use_of_a_list_panics(
        polls in polls(anything()), unique in any::<bool>(), left in any::<bool>(),
        is_old in any::<bool>(),
    ) {
        let mut list = list(unique, left);
        list.is_old = is_old;
        let mut taken = Vec::new();
        for uses in polls {
            uses.iter().for_each(|each| list.do_it(each, &mut taken));
            list.poll();
        }
    }

    /// A list that anybody may use, in every way at once; whether the server tells what was called, or
    /// not.
    #[test]
    fn all_uses_at_once_leave_the_truth_inside(
        polls in polls(anything()), left in any::<bool>(), is_old in any::<bool>(),
        tells in any::<bool>(), loses in any::<bool>(),
    ) {
        let mut list = list(false, left);
        list.is_old = is_old;
        list.witness = tells.then(Witness::default);
        list.loses = loses;
        play(list, &polls);
    }

    #[test]
    fn last_in_first_out_leaves_the_truth_inside(
        polls in polls((1usize..40).prop_map(Use::TakeFromTail)), unique in any::<bool>(),
        left in any::<bool>(),
    ) {
        play(list(unique, left), &polls);
    }

    #[test]
    fn going_round_leaves_the_truth_inside(
        polls in polls((1usize..60).prop_map(Use::Rotate)), left in any::<bool>(),
    ) {
        play(list(false, left), &polls);
    }

    #[test]
    fn purge_and_deletion_leave_the_truth_inside(
        polls in polls(prop_oneof![3 => pop(), 1 => Just(Use::Purge)]), unique in any::<bool>(),
        left in any::<bool>(),
    ) {
        play(list(unique, left), &polls);
    }

    /// A worker stops or dies: what it held is put back at the head between two polls, while jobs
    /// wait behind it.
    #[test]
    fn what_is_put_back_leaves_the_truth_inside(
        polls in prop::collection::vec((0usize..40, 0usize..40, prop::option::weighted(0.2, 1usize..40)), 1..40),
        unique in any::<bool>(), left in any::<bool>(),
    ) {
        let (mut list, mut taken) = (list(unique, left), Vec::new());
        list.poll();
        for (push, pop, back) in polls {
            list.push(push);
            let pop = pop.min(list.elements.len().saturating_sub(12));
            let what = back.map_or(Use::Pop(pop), Use::PutBack);
            list.do_it(&what, &mut taken);
            list.checked();
        }
    }
}
