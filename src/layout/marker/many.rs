//! The conversation about the lists of several queues, one list each, all in the same rounds.

use super::follow::{Budget, Follow};
use super::memory::Memory;
use crate::layout::redis::{Read, Reply};

#[derive(Default)]
pub(crate) struct FollowAll {
    lists: Vec<Follow>,
    /// Which list each read of the last round was about.
    asked: Vec<usize>,
    budget: Budget,
}

impl FollowAll {
    pub(crate) fn new(lists: Vec<Follow>) -> Self {
        Self {
            lists,
            ..Self::default()
        }
    }

    /// The reads of the next round; none when all is known.
    pub(crate) fn step(&mut self, replies: Vec<Reply>, memory: &mut Memory) -> Vec<Read> {
        for (index, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            if let Some(list) = self.lists.get_mut(index) {
                list.take(reply, memory, &mut self.budget);
            }
        }
        let mut reads = Vec::new();
        for (index, list) in self.lists.iter().enumerate() {
            if let Some(read) = list.ask() {
                reads.push(read);
                self.asked.push(index);
            }
        }
        reads
    }

    /// The lists as far as they are known, in the order in which they were given.
    pub(crate) fn take(&mut self) -> Vec<Follow> {
        std::mem::take(&mut self.lists)
    }
}
