//! What is wrong with a configuration: all of it at once, each with its place. A fault is made of
//! fixed words, keys and numbers; it never shows a value, since any value may hold a password.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Everything that is wrong with a configuration, in the order of its places. `Display` prints one
/// fault a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
}

impl Faults {
    /// At least one fault, in any order.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        // Stable: what has no line keeps the order in which it was found.
        faults.sort_by_key(|fault| fault.at.place.line_and_column());
        Self { faults }
    }

    /// A single fault that concerns no key.
    pub(super) fn single(place: Place, message: impl Into<String>) -> Self {
        Self {
            faults: vec![Fault {
                at: At {
                    place,
                    path: String::new(),
                },
                message: message.into(),
            }],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.faults.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// One thing that is wrong: `config.toml:12:5: brokers.main.redis.interval: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    at: At,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at.place {
            Place::Nowhere => {}
            Place::Named(name) => write!(f, "{name}: ")?,
            Place::Line { file, line, column } => write!(f, "{file}:{line}:{column}: ")?,
        }
        if !self.at.path.is_empty() {
            write!(f, "{}: ", self.at.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing was written at all.
    Nowhere,
    /// `argument 1`, `TAILBACK_BROKERS`, or a whole file.
    Named(Arc<str>),
    /// Line and column count from 1, the column in characters.
    Line {
        file: Arc<str>,
        line: usize,
        column: usize,
    },
}

impl Place {
    fn line_and_column(&self) -> (usize, usize) {
        match self {
            Self::Nowhere | Self::Named(_) => (0, 0),
            Self::Line { line, column, .. } => (*line, *column),
        }
    }
}

/// A place and the key that is there, with the names of its tables (empty outside of files).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    pub(super) place: Place,
    pub(super) path: String,
}

/// Something that was read, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// Gathers, during one load, what is wrong and which keys the reader knows.
#[derive(Default)]
pub(super) struct Notes {
    faults: RefCell<Vec<Fault>>,
    keys: RefCell<BTreeSet<String>>,
}

impl Notes {
    pub(super) fn fault(&self, at: &At, message: impl Into<String>) {
        self.faults.borrow_mut().push(Fault {
            at: at.clone(),
            message: message.into(),
        });
    }

    /// Notes that the reader has looked for this key.
    pub(super) fn looked_for(&self, path: String) {
        self.keys.borrow_mut().insert(path);
    }

    /// Every key looked for so far, so that a test can hold the example file against them.
    #[cfg(test)]
    pub(super) fn keys(&self) -> BTreeSet<String> {
        self.keys.borrow().clone()
    }

    /// The value, unless something is wrong.
    pub(super) fn conclude<T>(self, value: T) -> Result<T, Faults> {
        let faults = self.faults.into_inner();
        if faults.is_empty() {
            Ok(value)
        } else {
            Err(Faults::new(faults))
        }
    }
}
