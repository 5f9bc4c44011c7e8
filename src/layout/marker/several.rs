//! The conversations about several lists, held at the same time.

use super::follow::{Budget, Follow};
use super::memory::Memory;
use crate::layout::redis::{Read, Reply};

/// Lists during one poll, each for itself.
#[derive(Default)]
pub(crate) struct Several {
    lists: Vec<Follow>,
    /// Which list each read of the last round was about.
    asked: Vec<usize>,
    budget: Budget,
}

impl Several {
    pub(crate) fn new(lists: Vec<Follow>) -> Self {
        Self {
            lists,
            ..Self::default()
        }
    }

    /// Takes the replies to the last round and says what to read next; nothing when all is known.
    pub(crate) fn step(&mut self, replies: Vec<Reply>, memory: &mut Memory) -> Vec<Read> {
        self.take(&mut replies.into_iter(), memory);
        self.ask()
    }

    /// The reads of the next round; none when all is known.
    pub(crate) fn ask(&mut self) -> Vec<Read> {
        let asking = self.lists.iter().map(Follow::ask).enumerate();
        let (asked, reads) = asking
            .filter_map(|(index, read)| Some((index, read?)))
            .unzip();
        self.asked = asked;
        reads
    }

    /// Takes the replies to the last round; those that follow belong to somebody else.
    pub(crate) fn take(&mut self, replies: &mut impl Iterator<Item = Reply>, memory: &mut Memory) {
        for (index, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            if let Some(list) = self.lists.get_mut(index) {
                list.take(reply, memory, &mut self.budget);
            }
        }
    }

    /// The lists, in the order in which they were given.
    pub(crate) fn into_lists(self) -> Vec<Follow> {
        self.lists
    }
}
