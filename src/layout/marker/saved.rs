//! What is remembered of lists, written down for the next process. The remembered elements are jobs'
//! payload: they must be there as they are, since Redis finds an element only by all of it.

use super::MAX_MARKER;
use super::memory::{Held, ListMarks, Marker, Memory, Said, fingerprint};
use crate::layout::redis::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// Bytes of elements that are written down for all queues of one layout. Lists beyond are found
/// again only if they were empty or are empty.
const MAX_ELEMENTS: usize = 16 * 1024 * 1024;

/// Further than this no list has ever counted.
const MAX_TOTAL: i64 = 1 << 60;

/// The lists of all queues of one layout.
#[derive(Clone, Serialize, Deserialize)]
pub struct SavedMarks {
    /// The fingerprint of something known: another one means that no fingerprint can be compared.
    fingerprint: u64,
    epoch: u32,
    queues: Vec<SavedQueue>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedQueue {
    name: Element,
    lists: Vec<SavedList>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedList {
    total: i64,
    ready: u64,
    epoch: u32,
    head_size: Option<u32>,
    #[serde(default)]
    disorder: u16,
    #[serde(default)]
    alike: u16,
    held: Option<SavedHeld>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedHeld {
    tail: Option<SavedMarker>,
    near: Option<SavedMarker>,
    far: Option<SavedMarker>,
    head: Option<u64>,
    #[serde(default)]
    ahead: Vec<u64>,
    pace: f64,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedMarker {
    element: Element,
    number: i64,
}

/// Bytes, in base64. No `Debug`: they are payload.
#[derive(Clone)]
struct Element(Bytes);

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text);
        // Without the decoder's words, which show what it stumbled over.
        let bytes = bytes.map_err(|_| serde::de::Error::custom("not base64"))?;
        Ok(Self(bytes.into()))
    }
}

impl std::fmt::Debug for SavedMarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SavedMarks({} queues)", self.queues.len())
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn save(&self) -> SavedMarks {
        let mut left = MAX_ELEMENTS;
        let queues = self.queues().map(|(name, lists)| SavedQueue {
            name: Element(Arc::clone(name)),
            lists: lists.iter().map(|list| list.save(&mut left)).collect(),
        });
        SavedMarks {
            fingerprint: known_fingerprint(),
            epoch: self.last_epoch(),
            queues: queues.collect(),
        }
    }

    /// Takes up what another process has remembered. Unless the server is certainly the one it was,
    /// a list counts as the same only when one of its elements is found again.
    pub(crate) fn resume(&mut self, saved: SavedMarks, is_same_server: bool) {
        if saved.fingerprint != known_fingerprint() {
            return;
        }
        self.begin_epochs_after(saved.epoch);
        for SavedQueue { name, lists } in saved.queues {
            if lists.is_empty() && !is_same_server {
                // It was empty, and nothing can show that it is still the same.
                continue;
            }
            let lists: Option<Vec<ListMarks>> = lists
                .into_iter()
                .map(|list| ListMarks::resume(list, is_same_server))
                .collect();
            // All or none: a list that is missing would be taken for one that was empty.
            if let Some(lists) = lists {
                self.put(&name.0, lists);
            }
        }
    }
}

// === impl ListMarks ===

impl ListMarks {
    fn save(&self, left: &mut usize) -> SavedList {
        let mut marker = |marker: &Option<Marker>| {
            let Marker { element, number } = marker.as_ref()?;
            *left = left.checked_sub(element.len())?;
            Some(SavedMarker {
                element: Element(Arc::clone(element)),
                number: *number,
            })
        };
        SavedList {
            total: self.total,
            ready: self.ready,
            epoch: self.epoch,
            head_size: self.head_size,
            disorder: self.disorder,
            alike: self.alike,
            held: self.held.as_ref().map(|held| SavedHeld {
                tail: marker(&held.tail),
                near: marker(&held.near),
                far: marker(&held.far),
                head: held.head,
                ahead: held.ahead.to_vec(),
                pace: held.pace,
            }),
        }
    }

    fn resume(saved: SavedList, is_same_server: bool) -> Option<Self> {
        let in_range = |number: i64| (-MAX_TOTAL..=MAX_TOTAL).contains(&number);
        let marker = |marker: Option<SavedMarker>| {
            let SavedMarker { element, number } = marker?;
            let is_sound = in_range(number) && element.0.len() <= MAX_MARKER as usize;
            is_sound.then_some(Marker {
                element: element.0,
                number,
            })
        };
        let held = saved.held.map(|held| {
            Box::new(Held {
                tail: marker(held.tail),
                near: marker(held.near),
                far: marker(held.far),
                head: held.head,
                ahead: held.ahead.into(),
                pace: if held.pace.is_finite() {
                    held.pace.max(0.0)
                } else {
                    0.0
                },
            })
        });
        (in_range(saved.total) && saved.ready <= 1 << 52).then_some(Self {
            is_known: true,
            total: saved.total,
            ready: saved.ready,
            epoch: saved.epoch,
            head_size: saved.head_size,
            pause: 0,
            is_unproven: !is_same_server,
            disorder: saved.disorder,
            alike: saved.alike,
            last_head: None,
            last_tail: None,
            said: Said::default(),
            is_untold: false,
            held,
        })
    }
}

fn known_fingerprint() -> u64 {
    fingerprint(b"tailback")
}
