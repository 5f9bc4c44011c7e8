//! What a Redis answers, and how it refuses.

use crate::model::{ErrorKind, Timestamp};

/// An answer to one [`Read`](super::Read).
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Nil,
    Int(i64),
    Bytes(Vec<u8>),
    Array(Vec<Reply>),
    /// The replies to [`Read::Atomic`](super::Read::Atomic), read one after the other and not at one instant.
    Loose(Vec<Reply>),
    /// The broker refused this read; the others of the batch stand.
    Refused(Refusal),
}

impl Reply {
    /// A length or count. No server holds more than 2^52 of anything, so sums stay in range and
    /// fractions exact.
    pub fn count(self) -> Result<u64, Refusal> {
        match self {
            Self::Int(number) => Ok(u64::try_from(number).unwrap_or(0).min(1 << 52)),
            other => Err(other.unexpected("a number")),
        }
    }

    /// A string, or `None` where there is nothing.
    pub fn bytes(self) -> Result<Option<Vec<u8>>, Refusal> {
        match self {
            Self::Bytes(bytes) => Ok(Some(bytes)),
            Self::Nil => Ok(None),
            other => Err(other.unexpected("a string")),
        }
    }

    pub fn array(self) -> Result<Vec<Self>, Refusal> {
        match self {
            Self::Array(items) => Ok(items),
            Self::Nil => Ok(Vec::new()),
            other => Err(other.unexpected("an array")),
        }
    }

    /// Members with their scores, as `WITHSCORES` interleaves them. What is no such pair is left
    /// out.
    pub fn scored(self) -> Result<Vec<(Vec<u8>, f64)>, Refusal> {
        let items = self.array()?;
        Ok(items
            .chunks(2)
            .filter_map(|pair| match pair {
                [Self::Bytes(member), Self::Bytes(score)] => {
                    let score = std::str::from_utf8(score).ok()?.parse().ok()?;
                    Some((member.clone(), score))
                }
                _ => None,
            })
            .collect())
    }

    /// The score of the first of some members, if it is a time in seconds; whether the member itself
    /// was too large to come does not matter.
    pub fn first_due(self) -> Option<Timestamp> {
        let score = self.array().ok()?.into_iter().nth(1)?.bytes().ok()??;
        Timestamp::from_secs_f64(std::str::from_utf8(&score).ok()?.parse().ok()?)
    }

    /// Why there is no answer, if so.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    fn unexpected(self, wanted: &str) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            _ => Refusal {
                kind: RefusalKind::Other,
                message: format!("the reply is not {wanted}"),
            },
        }
    }
}

/// Why a single read was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// The broker's own words, without payload.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// `NOPERM`: a right is missing.
    NotPermitted,
    /// `WRONGTYPE`: the key is something else.
    WrongType,
    /// The reply was larger than `max_payload_bytes`; nothing of it was kept.
    TooLarge,
    /// Anything else.
    Other,
}

impl RefusalKind {
    pub const fn error_kind(self) -> ErrorKind {
        match self {
            Self::NotPermitted => ErrorKind::Permission,
            Self::WrongType | Self::TooLarge => ErrorKind::Decode,
            Self::Other => ErrorKind::Protocol,
        }
    }
}
