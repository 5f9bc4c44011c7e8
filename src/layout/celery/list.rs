//! One priority step of one queue: how long the list is, what stands at its head, and how it has
//! moved since the last poll.

use super::message::{Claimable, Message};
use crate::layout::marker::{Elements, ListMarks, MAX_MARKER, Memory, Next, Sight, Watch};
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply, Side};
use crate::model::flow::{HeadState, LineHead, StampOf};
use crate::model::{Head, LatencySource, Reason, Timestamp};

/// How many messages behind a head that is due later are looked at.
const LOOK_BEHIND: i64 = 16;

pub(super) struct List {
    key: Bytes,
    pub(super) len: Result<u64, Refusal>,
    /// Messages at the head that are not yet due.
    pub(super) scheduled: u64,
    pub(super) next_due: Option<Timestamp>,
    pub(super) head: Head,
    /// How the list has moved; none if that could not be read.
    pub(super) sight: Option<Sight>,
    /// What the broker refused of it, if anything.
    pub(super) refused: Option<Refusal>,
    /// The first message that waits has been handed out before.
    is_put_back: bool,
    /// The time of the head is that of its sending.
    is_send: bool,
    /// The message at the head, where those behind it have to be looked at.
    first: Option<Vec<u8>>,
    /// The head moved while it was looked at.
    is_moving: bool,
    phase: Phase,
}

/// What is asked next.
enum Phase {
    Length(Watch),
    Size(Watch),
    Position(Watch, Read),
    /// Positions cannot be read: the head alone.
    Head,
    Behind,
    Done,
}

/// What all lists of a poll share.
pub(super) struct Context<'a> {
    pub(super) paths: &'a [Vec<String>],
    pub(super) now: Timestamp,
    pub(super) max_payload: u64,
    pub(super) memory: &'a mut Memory,
    /// Bytes that markers may still bring in.
    pub(super) budget: &'a mut u64,
}

impl List {
    pub(super) fn new(key: Bytes, marks: ListMarks) -> Self {
        Self {
            phase: Phase::Length(Watch::new(
                Bytes::clone(&key),
                Side::Right,
                Elements::Unique,
                marks,
            )),
            key,
            len: Ok(0),
            scheduled: 0,
            next_due: None,
            head: Head::Empty,
            sight: None,
            refused: None,
            is_put_back: false,
            is_send: false,
            first: None,
            is_moving: false,
        }
    }

    /// The next read; none when all is known.
    pub(super) fn ask(&self) -> Option<Read> {
        let key = || Bytes::clone(&self.key);
        match &self.phase {
            Phase::Length(_) => Some(Read::Llen(key())),
            Phase::Size(_) => Some(Read::MemoryUsage(key())),
            Phase::Position(_, read) => Some(read.clone()),
            Phase::Head => Some(Read::Lindex(key(), -1)),
            Phase::Behind => Some(Read::Lrange(key(), -1 - LOOK_BEHIND, -1)),
            Phase::Done => None,
        }
    }

    /// Takes the reply to the read that was asked.
    pub(super) fn take(&mut self, reply: Reply, context: &mut Context<'_>) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Length(watch) => self.length(watch, reply, context),
            Phase::Size(watch) => self.size(watch, reply, context),
            Phase::Position(watch, _) => self.position(watch, reply, context),
            Phase::Head => self.first(reply, context),
            Phase::Behind => {
                self.behind(reply, context);
                Phase::Done
            }
            Phase::Done => Phase::Done,
        };
    }

    fn length(&mut self, watch: Watch, reply: Reply, context: &mut Context<'_>) -> Phase {
        self.len = reply.count();
        match &self.len {
            Ok(0) => {
                self.sight = watch.conclude_empty(context.memory);
                Phase::Done
            }
            Ok(_) => Phase::Size(watch),
            Err(_) => Phase::Done,
        }
    }

    /// A list element cannot be read in part and its size cannot be asked, so Redis's estimate of
    /// the whole list decides whether the head may be fetched. The estimate is exact for a list of
    /// few nodes; in a longer one a single large element can hide, which the connection then drops
    /// as it comes in.
    fn size(&mut self, mut watch: Watch, reply: Reply, context: &mut Context<'_>) -> Phase {
        let len = self.len.as_ref().copied().unwrap_or(0).max(1);
        let max = context.max_payload;
        let (fits, each) = match reply {
            Reply::Int(bytes) => {
                let bytes = u64::try_from(bytes).unwrap_or(0);
                let each = bytes / len;
                let fits = bytes <= max || (len > 1 && each.saturating_mul(8) <= max);
                (fits, each)
            }
            // Drained meanwhile, or a server that cannot say (before Redis 4, or no right).
            other => {
                if let Reply::Refused(refusal) = other
                    && refusal.kind == RefusalKind::NotPermitted
                {
                    self.refused = Some(refusal);
                }
                (true, watch.last_head_size().unwrap_or(0).into())
            }
        };
        if !fits {
            self.head = Head::Unknown(Reason::PayloadTooLarge);
            self.sight = Some(watch.conclude_unread(len, context.memory));
            return Phase::Done;
        }
        if context.memory.refused().is_some() {
            return Phase::Head;
        }
        let cost = each.saturating_mul(4);
        let markers = each <= u64::from(MAX_MARKER) && cost <= *context.budget;
        if markers {
            *context.budget -= cost;
        }
        let read = watch.ask(len, markers, context.memory);
        Phase::Position(watch, read)
    }

    fn position(&mut self, mut watch: Watch, reply: Reply, context: &mut Context<'_>) -> Phase {
        match watch.take(reply, context.memory) {
            Next::Ask(read) => Phase::Position(watch, read),
            Next::Torn => Phase::Head,
            Next::Refused(refusal) => {
                context.memory.refuse(refusal);
                Phase::Head
            }
            Next::Seen(mut sight) => {
                self.len = Ok(sight.ready);
                let head = sight.head.take().unwrap_or(Reply::Nil);
                self.sight = Some(*sight);
                self.first(head, context)
            }
        }
    }

    /// The message at the head.
    fn first(&mut self, reply: Reply, context: &Context<'_>) -> Phase {
        match reply {
            // A list without a last element is empty by now.
            Reply::Nil => {
                self.len = Ok(0);
                self.head = Head::Empty;
                Phase::Done
            }
            other => {
                let first = match &other {
                    Reply::Bytes(bytes) => Some(bytes.clone()),
                    _ => None,
                };
                if !self.look(other, context) {
                    return Phase::Done;
                }
                self.first = first;
                Phase::Behind
            }
        }
    }

    fn behind(&mut self, reply: Reply, context: &Context<'_>) {
        let mut messages = reply
            .array()
            .unwrap_or_default()
            .into_iter()
            .rev()
            .peekable();
        let is_first = |reply: &Reply| matches!((reply, &self.first), (Reply::Bytes(seen), Some(first)) if seen == first);
        if messages.next_if(is_first).is_none() {
            // Another one is at the head by now: begin again with that.
            (self.is_moving, self.scheduled, self.next_due) = (true, 0, None);
        }
        for message in messages {
            if !self.look(message, context) {
                return;
            }
        }
        // Every message of the list is due later: then none waits.
        let all = self.len.as_ref().copied().unwrap_or(0);
        self.head = if self.scheduled >= all {
            Head::Empty
        } else {
            Head::Unknown(Reason::OnlyScheduledSeen)
        };
    }

    /// Takes the next message from the head on; whether the one behind it matters too.
    fn look(&mut self, message: Reply, context: &Context<'_>) -> bool {
        let message = match message {
            Reply::Bytes(bytes) => Message::decode(&bytes),
            Reply::Refused(Refusal {
                kind: RefusalKind::TooLarge,
                ..
            }) => {
                self.head = Head::Unknown(Reason::PayloadTooLarge);
                return false;
            }
            Reply::Refused(refusal) => {
                self.head = Head::Unknown(Reason::NotPermitted);
                self.refused = Some(refusal);
                return false;
            }
            _ => None,
        };
        let Some(message) = message else {
            self.head = Head::Unknown(Reason::Undecodable);
            return false;
        };
        match message.claimable(context.paths, context.now) {
            Claimable::From(eta) => {
                self.scheduled += 1;
                self.next_due = Some(self.next_due.map_or(eta, |due| due.min(eta)));
                // Until the one behind it has been seen.
                self.head = Head::Unknown(Reason::OnlyScheduledSeen);
                return true;
            }
            Claimable::Untimed => self.head = Head::Unknown(Reason::NoTimestamp),
            Claimable::Since {
                earliest,
                latest,
                is_redelivered,
                is_send,
            } => {
                self.is_send = is_send;
                self.head = Head::Since {
                    earliest,
                    latest,
                    // What was put back lies at the head in no order.
                    upper_is_hard: !is_redelivered,
                    source: LatencySource::Message,
                };
            }
        }
        self.is_put_back = message.is_redelivered();
        false
    }

    /// Where the head stands, in the words of the flow model.
    pub(super) fn line_head(&self, sight: &Sight) -> LineHead {
        let state = match self.head {
            _ if self.is_moving => HeadState::Unknown(Reason::OnlyScheduledSeen),
            Head::Empty if sight.ready > 0 => HeadState::AllDueLater,
            Head::Since {
                earliest,
                latest,
                upper_is_hard,
                source,
            } => HeadState::Stamped {
                earliest,
                latest,
                upper_is_hard,
                source,
                of: match self.is_send {
                    true => StampOf::Arrival,
                    false => StampOf::Due,
                },
            },
            Head::Unknown(reason @ Reason::OnlyScheduledSeen) => HeadState::Unknown(reason),
            Head::Empty | Head::Unknown(_) => HeadState::Waiting,
        };
        LineHead {
            skip: self.scheduled,
            put_back: match self.is_put_back {
                true => put_back(sight),
                false => 0,
            },
            state,
        }
    }
}

/// How many messages at the head may have been handed out before. They are put back at the head, so
/// behind one that was not there are no more of them.
fn put_back(sight: &Sight) -> u64 {
    let fresh = sight.probes.iter().find(|(_, element)| {
        Message::decode(element).is_some_and(|message| !message.is_redelivered())
    });
    fresh.map_or(sight.ready, |(at, _)| *at)
}
