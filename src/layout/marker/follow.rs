//! The conversation about one list that is a queue: how long it is, how it has moved since the last
//! poll, and what stands at its head.

use super::memory::{ListMarks, Memory};
use super::watch::{Elements, Next, Sight, Watch};
use super::{MARKER_BYTES, MAX_MARKER};
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply, Side};
use crate::model::Observation;
use crate::model::flow::{FlowSample, LineHead, LineSample, Span};

/// One list during one poll. Ask, take the reply, until nothing more is asked.
pub(crate) struct Follow {
    key: Bytes,
    head: Side,
    /// Elements are somebody's payload: none is fetched while they may be larger than this.
    max_payload: Option<u64>,
    phase: Phase,
    pub(crate) len: Result<u64, Refusal>,
    /// How the list has moved; none if that could not be read.
    pub(crate) sight: Option<Sight>,
    /// The element at the head, or why it cannot be had; none if the list is empty.
    pub(crate) first: Option<Result<Vec<u8>, Refusal>>,
}

/// What all lists of one conversation share.
pub(crate) struct Budget {
    /// Bytes that markers may still bring in.
    left: u64,
}

/// What is asked next.
enum Phase {
    Length(Watch),
    Size(Watch),
    Position(Watch, Read),
    /// Positions cannot be read: the head alone.
    Head,
    Done,
}

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Self { left: MARKER_BYTES }
    }
}

// === impl Follow ===

impl Follow {
    /// `head` is the end at which elements are taken.
    pub(crate) fn new(key: Bytes, head: Side, elements: Elements, marks: ListMarks) -> Self {
        let watch = Watch::new(Bytes::clone(&key), head, elements, marks);
        Self {
            key,
            head,
            max_payload: None,
            phase: Phase::Length(watch),
            len: Ok(0),
            sight: None,
            first: None,
        }
    }

    /// The elements are payloads, of which larger ones than this are not fetched.
    #[must_use]
    pub(crate) fn of_payloads(mut self, max: u64) -> Self {
        self.max_payload = Some(max);
        self
    }

    /// The next read; none when all is known.
    pub(crate) fn ask(&self) -> Option<Read> {
        let key = || Bytes::clone(&self.key);
        match &self.phase {
            Phase::Length(_) => Some(Read::Llen(key())),
            Phase::Size(_) => Some(Read::MemoryUsage(key())),
            Phase::Position(_, read) => Some(read.clone()),
            Phase::Head => Some(Read::Lindex(
                key(),
                match self.head {
                    Side::Left => 0,
                    Side::Right => -1,
                },
            )),
            Phase::Done => None,
        }
    }

    /// Takes the reply to the read that was asked.
    pub(crate) fn take(&mut self, reply: Reply, memory: &mut Memory, budget: &mut Budget) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Length(watch) => self.length(watch, reply, memory, budget),
            Phase::Size(watch) => self.size(watch, reply, memory, budget),
            Phase::Position(watch, _) => self.position(watch, reply, memory),
            Phase::Head => {
                self.first = first(reply);
                if self.first.is_none() {
                    self.len = Ok(0);
                }
                Phase::Done
            }
            Phase::Done => Phase::Done,
        };
    }

    fn length(
        &mut self,
        watch: Watch,
        reply: Reply,
        memory: &mut Memory,
        budget: &mut Budget,
    ) -> Phase {
        self.len = reply.count();
        match &self.len {
            Err(_) => Phase::Done,
            Ok(0) => {
                self.sight = watch.conclude_empty(memory);
                Phase::Done
            }
            Ok(_) if self.max_payload.is_some() => Phase::Size(watch),
            // Redis does not tell how large elements are before one has been seen.
            Ok(_) => self.positions(watch, None, memory, budget),
        }
    }

    /// A list element cannot be read in part and its size cannot be asked, so Redis's estimate of
    /// the whole list decides whether the head may be fetched. The estimate is exact for a list of
    /// few nodes; in a longer one a single large element can hide, which the connection then drops
    /// as it comes in.
    fn size(
        &mut self,
        watch: Watch,
        reply: Reply,
        memory: &mut Memory,
        budget: &mut Budget,
    ) -> Phase {
        let len = self.len.as_ref().copied().unwrap_or(0).max(1);
        let max = self.max_payload.unwrap_or(u64::MAX);
        // Drained meanwhile, or a server that cannot say (before Redis 4, or no right).
        let Reply::Int(bytes) = reply else {
            return self.positions(watch, None, memory, budget);
        };
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let each = bytes / len;
        if bytes <= max || (len > 1 && each.saturating_mul(8) <= max) {
            return self.positions(watch, Some(each), memory, budget);
        }
        self.first = Some(Err(Refusal {
            kind: RefusalKind::TooLarge,
            message: "its jobs are larger than max_payload_bytes".into(),
        }));
        self.sight = Some(watch.conclude_unread(len, memory));
        Phase::Done
    }

    fn positions(
        &mut self,
        mut watch: Watch,
        each: Option<u64>,
        memory: &mut Memory,
        budget: &mut Budget,
    ) -> Phase {
        if memory.refused().is_some() {
            return Phase::Head;
        }
        let len = self.len.as_ref().copied().unwrap_or(0);
        let size = each.unwrap_or_else(|| watch.last_head_size().unwrap_or(1024).into());
        let cost = size.saturating_mul(4);
        let markers = size <= u64::from(MAX_MARKER) && cost <= budget.left;
        if markers {
            budget.left -= cost;
            // As long as there is enough for the markers of other lists.
            budget.left -= watch.widen(size, budget.left / 2);
        }
        let read = watch.ask(len, markers, memory);
        Phase::Position(watch, read)
    }

    fn position(&mut self, mut watch: Watch, reply: Reply, memory: &mut Memory) -> Phase {
        match watch.take(reply, memory) {
            Next::Ask(read) => Phase::Position(watch, read),
            Next::Torn => Phase::Head,
            Next::Refused(refusal) => {
                memory.refuse(refusal);
                Phase::Head
            }
            Next::Seen(mut sight) => {
                self.len = Ok(sight.ready);
                self.first = sight.head.take().and_then(first);
                self.sight = Some(*sight);
                Phase::Done
            }
        }
    }

    /// Adds what its positions say to what is seen of a queue that is this one list; keeps what the
    /// next poll needs.
    pub(crate) fn tell(
        &mut self,
        seen: &mut Observation,
        queue: &Bytes,
        head: LineHead,
        memory: &mut Memory,
    ) {
        seen.flow = self.flow(queue, head, memory);
        memory.explain(seen);
    }

    fn flow(&mut self, queue: &Bytes, head: LineHead, memory: &mut Memory) -> Option<FlowSample> {
        let mut sight = self.sight.take().filter(|_| memory.refused().is_none())?;
        // Only LPUSH is counted among the broker's pushes.
        sight.arrivals.is_pushed = self.head == Side::Right;
        let line = LineSample {
            line: 0,
            ready: sight.ready,
            arrivals: sight.arrivals,
            started: None,
            head,
        };
        let is_quiet = sight.ready == 0 && sight.arrivals.total == 0;
        memory.put(queue, vec![sight.marks]);
        Some(FlowSample {
            span: Span::default(),
            lines: if is_quiet && self.head == Side::Left {
                Vec::new()
            } else {
                vec![line]
            },
        })
    }
}

fn first(reply: Reply) -> Option<Result<Vec<u8>, Refusal>> {
    reply.bytes().transpose()
}
