//! The search for queues: first the sets in which job systems write them down, then, in small
//! slices with pauses, a walk over all keys for the systems that have no such set. Never part of a
//! poll.

use super::catalogue::Catalogue;
use super::session::Session;
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::redis::{Bytes, KeyMeaning, Read, Refusal, RefusalKind, Registry, Reply};
use crate::layout::{glob, name};
use crate::model::{PollFailure, System};
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Sets read in one slice.
const SETS: usize = 500;

/// `COUNT` of one page of members or keys.
const PAGE: u32 = 1000;

/// The walk rests this many times as long as its last slice took, so that it never takes more than
/// a tenth of the server's time; and at least this long.
const REST: u32 = 9;
const MIN_REST: Duration = Duration::from_millis(2);

/// A pass begins again at the earliest after this many times what it has cost: 2 % of the server's
/// time however many keys there are.
const PASS_REST: u32 = 50;

/// Keys that came to nothing are remembered up to this number: 24 bytes each.
const MAX_SETTLED: usize = 100_000;

/// Registries that could not be read and are told one by one.
const COMPLAINTS: usize = 5;

/// Where the search is.
#[derive(Default)]
pub(super) struct Discovery {
    pass: Option<Pass>,
    /// Set once a whole pass is through.
    pub(super) complete: bool,
    /// What the last pass was refused: without it queues may be missing.
    pub(super) complaints: Vec<PollFailure>,
    /// Keys, by layout, that were asked about and turned out to be nothing.
    settled: HashSet<(usize, u64)>,
}

struct Pass {
    /// Sets still to read: the layout, the key, the cursor.
    sets: VecDeque<(usize, Bytes, u64)>,
    /// The last one is walked.
    walks: Vec<Walk>,
    spent: Duration,
    complaints: Vec<PollFailure>,
}

/// A walk over all keys of all nodes.
struct Walk {
    node: usize,
    cursor: u64,
    /// Sent to the server where one pattern says it all; else every key comes and is told apart
    /// here, so that several systems cost one walk.
    pattern: Bytes,
    /// The server leaves out keys of other types.
    of_type: Option<&'static str>,
    wanted: Vec<(usize, Bytes)>,
}

/// A key that may tell of queues.
struct Candidate {
    layout: usize,
    key: Bytes,
    meaning: KeyMeaning,
}

// === impl Discovery ===

impl Discovery {
    /// Does one slice and says how long to wait before the next.
    pub(super) async fn slice(
        &mut self,
        session: &mut Session,
        catalogue: &mut Catalogue,
        interval: Duration,
    ) -> Result<Duration, BrokerError> {
        let started = clock::now().mono;
        let pass = self.pass.get_or_insert_with(|| Pass::begin(catalogue));
        let done = pass.advance(session, catalogue, &mut self.settled).await?;
        let took = clock::now().mono.saturating_duration_since(started);
        pass.spent += took;
        if !done {
            return Ok((took * REST).max(MIN_REST));
        }
        let spent = pass.spent;
        self.complaints = self
            .pass
            .take()
            .map(|pass| pass.complaints)
            .unwrap_or_default();
        self.complete = true;
        catalogue.forget(clock::now().mono);
        Ok(interval.max(spent * PASS_REST))
    }

    /// Starts over: after a reconnect cursors mean nothing.
    pub(super) fn restart(&mut self) {
        self.pass = None;
        self.settled.clear();
    }
}

// === impl Pass ===

impl Pass {
    fn begin(catalogue: &mut Catalogue) -> Self {
        let now = clock::now().mono;
        let mut sets = VecDeque::new();
        let mut wanted = Vec::new();
        let mut typed: Vec<Walk> = Vec::new();
        for index in 0..catalogue.layouts.len() {
            let registries = catalogue
                .layouts
                .get(index)
                .map(|bound| bound.layout.registries());
            for registry in registries.into_iter().flatten() {
                match registry {
                    Registry::Set(key) => sets.push_back((index, key, 0)),
                    Registry::Named(name) => catalogue.learn(index, &name, now),
                    Registry::Scan(pattern) => wanted.push((index, pattern)),
                    Registry::ScanType(of_type) => {
                        let all = Bytes::from(b"*".as_slice());
                        let known = typed.iter_mut().find(|walk| walk.of_type == Some(of_type));
                        match known {
                            Some(walk) => walk.wanted.push((index, all)),
                            None => typed.push(Walk {
                                node: 0,
                                cursor: 0,
                                pattern: Bytes::clone(&all),
                                of_type: Some(of_type),
                                wanted: vec![(index, all)],
                            }),
                        }
                    }
                }
            }
        }
        let pattern = match wanted.as_slice() {
            [(_, only)] => Bytes::clone(only),
            _ => Bytes::from(b"*".as_slice()),
        };
        let mut walks = typed;
        if !wanted.is_empty() {
            walks.push(Walk {
                node: 0,
                cursor: 0,
                pattern,
                of_type: None,
                wanted,
            });
        }
        Self {
            sets,
            walks,
            spent: Duration::ZERO,
            complaints: Vec::new(),
        }
    }

    /// Whether the pass is through.
    async fn advance(
        &mut self,
        session: &mut Session,
        catalogue: &mut Catalogue,
        settled: &mut HashSet<(usize, u64)>,
    ) -> Result<bool, BrokerError> {
        if !self.sets.is_empty() {
            self.read_sets(session, catalogue).await?;
        } else if !self.walks.is_empty() {
            self.walk_on(session, catalogue, settled).await?;
        }
        Ok(self.sets.is_empty() && self.walks.is_empty())
    }

    /// Reads one page of the walk over the keys.
    async fn walk_on(
        &mut self,
        session: &mut Session,
        catalogue: &mut Catalogue,
        settled: &mut HashSet<(usize, u64)>,
    ) -> Result<(), BrokerError> {
        let Some(walk) = self.walks.last_mut() else {
            return Ok(());
        };
        let page = session
            .scan(walk.node, walk.cursor, (&walk.pattern, walk.of_type), PAGE)
            .await?;
        match page {
            Ok(page) => {
                walk.cursor = page.cursor;
                let finished = page.cursor == 0 && {
                    walk.node += 1;
                    walk.node >= session.node_count()
                };
                let candidates = self.sort_keys(catalogue, page.items);
                learn(session, catalogue, candidates, settled).await?;
                if finished {
                    self.walks.pop();
                }
            }
            Err(refusal) => {
                let of_type = walk.of_type;
                self.walks.pop();
                let lost = match of_type {
                    // A server before 6.0, which cannot say which keys are streams.
                    Some(_) if refusal.kind == RefusalKind::Other => return Ok(()),
                    Some(of_type) => format!("keys of the type {of_type} are not found"),
                    None => "systems without a set of their queues (Celery among them) are not \
                             found"
                        .to_owned(),
                };
                self.complaints.push(PollFailure {
                    kind: refusal.kind.error_kind(),
                    message: format!(
                        "cannot search the keys for queues: {}; {lost}",
                        refusal.message
                    ),
                });
            }
        }
        Ok(())
    }

    /// A registry that cannot be read hides queues, so it is told; a few of them are enough.
    fn complain(&mut self, system: System, key: &[u8], refusal: &Refusal) {
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(PollFailure {
                kind: refusal.kind.error_kind(),
                message: format!(
                    "cannot read where {} writes down its queues ({:?}): {}",
                    system.as_str(),
                    name::shown(key),
                    refusal.message
                ),
            });
        }
    }

    async fn read_sets(
        &mut self,
        session: &mut Session,
        catalogue: &mut Catalogue,
    ) -> Result<(), BrokerError> {
        let batch: Vec<_> = self.sets.drain(..self.sets.len().min(SETS)).collect();
        let asked: Vec<(Bytes, u64)> = batch
            .iter()
            .map(|(_, key, cursor)| (Bytes::clone(key), *cursor))
            .collect();
        let pages = session.sscan(&asked, PAGE).await?;
        let now = clock::now().mono;
        for ((layout, key, _), page) in batch.into_iter().zip(pages) {
            let page = match page {
                Ok(page) => page,
                // Somebody else's key of that name, so the system is not here.
                Err(refusal) if refusal.kind == RefusalKind::WrongType => continue,
                Err(refusal) => {
                    if let Some(bound) = catalogue.layouts.get(layout) {
                        self.complain(bound.system, &key, &refusal);
                    }
                    continue;
                }
            };
            for member in &page.items {
                let named = catalogue
                    .layouts
                    .get_mut(layout)
                    .and_then(|bound| bound.layout.member(&key, member));
                if let Some(name) = named {
                    catalogue.learn(layout, &name, now);
                }
            }
            if page.cursor != 0 {
                self.sets.push_back((layout, key, page.cursor));
            }
        }
        Ok(())
    }

    /// Asks the layouts what the found keys mean: sets are read in the next slices, keys that may
    /// be queues are returned with the type that they must have.
    fn sort_keys(&mut self, catalogue: &Catalogue, keys: Vec<Vec<u8>>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let Some(walk) = self.walks.last() else {
            return candidates;
        };
        for key in keys {
            for (index, pattern) in &walk.wanted {
                if !glob::matches(pattern, &key) {
                    continue;
                }
                let Some(bound) = catalogue.layouts.get(*index) else {
                    continue;
                };
                match bound.layout.key(&key) {
                    KeyMeaning::Nothing => {}
                    KeyMeaning::Set => self.sets.push_back((*index, key.as_slice().into(), 0)),
                    meaning => candidates.push(Candidate {
                        layout: *index,
                        key: key.as_slice().into(),
                        meaning,
                    }),
                }
            }
        }
        candidates
    }
}

/// Asks about keys that may tell of queues, each that comes to nothing once.
async fn learn(
    session: &mut Session,
    catalogue: &mut Catalogue,
    mut candidates: Vec<Candidate>,
    settled: &mut HashSet<(usize, u64)>,
) -> Result<(), BrokerError> {
    candidates.retain(|candidate| !settled.contains(&candidate.fingerprint()));
    let asked: Vec<Vec<Read>> = candidates.iter().map(Candidate::reads).collect();
    let reads: Vec<Read> = asked.iter().flatten().cloned().collect();
    if reads.is_empty() {
        return Ok(());
    }
    let mut replies = session.execute(&reads).await?.into_iter();
    let now = clock::now().mono;
    for (candidate, asked) in candidates.into_iter().zip(asked) {
        let own: Vec<Reply> = replies.by_ref().take(asked.len()).collect();
        let fingerprint = candidate.fingerprint();
        let Candidate {
            layout,
            key,
            meaning,
        } = candidate;
        let names = match meaning {
            KeyMeaning::Queue { name, of_type } => {
                let is_one = |kind: &&str| own == [Reply::Bytes((**kind).into())];
                match of_type.iter().any(is_one) {
                    true => vec![name],
                    false => Vec::new(),
                }
            }
            meaning => {
                let is_hidden = own.iter().any(is_not_permitted);
                let bound = catalogue.layouts.get_mut(layout);
                let names = bound.map(|bound| bound.layout.identify(&key, own));
                let names = names.unwrap_or_default();
                let is_settled =
                    names.is_empty() && !is_hidden && matches!(meaning, KeyMeaning::Ask(_));
                if is_settled && settled.len() < MAX_SETTLED {
                    settled.insert(fingerprint);
                }
                names
            }
        };
        for name in names {
            catalogue.learn(layout, &name, now);
        }
    }
    Ok(())
}

/// Once the right is given the key may be a queue.
fn is_not_permitted(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(refusal) if refusal.kind == RefusalKind::NotPermitted)
}

// === impl Candidate ===

impl Candidate {
    fn reads(&self) -> Vec<Read> {
        match &self.meaning {
            KeyMeaning::Ask(reads) | KeyMeaning::AskAgain(reads) => reads.clone(),
            _ => vec![Read::Type(Bytes::clone(&self.key))],
        }
    }

    fn fingerprint(&self) -> (usize, u64) {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        (self.layout, hasher.finish())
    }
}
