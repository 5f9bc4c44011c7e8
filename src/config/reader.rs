//! Walks through the tables of a TOML file and notes unknown keys. Knows TOML, nothing of what the
//! keys mean; their values are taken by `values`.
//!
//! The keys of a table are the ones that its reader has asked for: what is left over at
//! [`Table::finish`] is unknown. So there is no list of keys beside the code that could be
//! forgotten, and every reader asks for all of its keys before it judges any value.

use super::fault::{At, Notes, Place};
use super::suggest;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// What a table was read from.
pub(super) enum Source<'a> {
    File {
        name: Arc<str>,
        text: &'a str,
    },
    /// One URL, given outside of a file: all its faults are at this place.
    Url(Arc<str>),
}

impl Source<'_> {
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        match self {
            Self::Url(place) => Place::Named(Arc::clone(place)),
            Self::File { name, text } => {
                let before = text.get(..span.start).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                Place::Line {
                    file: Arc::clone(name),
                    line,
                    column,
                }
            }
        }
    }

    fn at(&self, span: &Range<usize>, path: String) -> At {
        let path = match self {
            Self::File { .. } => path,
            // The path is of our making; whoever gave the URL has not written it.
            Self::Url(_) => String::new(),
        };
        At {
            place: self.place(span),
            path,
        }
    }
}

/// A table, which may be absent: then all its keys are.
pub(super) struct Table<'a> {
    pub(super) notes: &'a Notes,
    pub(super) source: &'a Source<'a>,
    path: String,
    at: At,
    entries: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub(super) fn root(notes: &'a Notes, source: &'a Source<'a>, entries: &'a DeTable<'a>) -> Self {
        Self {
            notes,
            source,
            path: String::new(),
            at: source.at(&(0..0), String::new()),
            entries: Some(entries),
            asked: RefCell::default(),
        }
    }

    /// Where the table's name is written; of an absent table, where its parent is.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_none_or(DeTable::is_empty)
    }

    /// Whether the key is there, with a value of any type.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    pub(super) fn fault(&self, message: impl Into<String>) {
        self.notes.fault(&self.at, message);
    }

    fn child_path(&self, key: &str) -> String {
        // A key that is no plain word may be a misplaced URL.
        let key = if is_plain(key) { key } else { "?" };
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The value of a key that belongs to this table.
    pub(super) fn entry(&self, key: &'static str) -> Option<(At, &'a DeValue<'a>)> {
        self.asked.borrow_mut().push(key);
        let path = self.child_path(key);
        self.notes.looked_for(path.clone());
        let value = self.entries?.get(key)?;
        Some((self.source.at(&value.span(), path), value.get_ref()))
    }

    /// A table of fixed name.
    pub(super) fn table(&self, key: &'static str) -> Table<'a> {
        self.entry(key);
        self.descend(key).unwrap_or_else(|| Table {
            notes: self.notes,
            source: self.source,
            path: self.child_path(key),
            at: self.at.clone(),
            entries: None,
            asked: RefCell::default(),
        })
    }

    /// Its keys as the user chose them.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let keys = self.entries.into_iter().flat_map(|entries| entries.keys());
        keys.map(|key| &**key.get_ref()).collect()
    }

    /// Every table in this one, with its name as the user chose it.
    pub(super) fn tables(&self) -> Vec<(&'a str, Table<'a>)> {
        let names = self.names().into_iter();
        names
            .filter_map(|name| Some((name, self.descend(name)?)))
            .collect()
    }

    /// The tables of an array, as `[[key]]` makes them; none if it is absent.
    pub(super) fn list(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some((at, value)) = self.entry(key) else {
            return Vec::new();
        };
        let tables = value.as_array().map(|array| {
            array.iter().map(|each| match each.get_ref() {
                DeValue::Table(entries) => Some(Table {
                    notes: self.notes,
                    source: self.source,
                    path: self.child_path(key),
                    at: self.source.at(&each.span(), self.child_path(key)),
                    entries: Some(entries),
                    asked: RefCell::default(),
                }),
                _ => None,
            })
        });
        let tables: Option<Vec<_>> = tables.and_then(Iterator::collect);
        tables.unwrap_or_else(|| {
            let message = format!("must be tables, each with the header [[{key}]]");
            self.notes.fault(&at, message);
            Vec::new()
        })
    }

    fn descend(&self, key: &str) -> Option<Table<'a>> {
        let (name, value) = self.entries?.get_key_value(key)?;
        let at = self.source.at(&name.span(), self.child_path(key));
        let DeValue::Table(entries) = value.get_ref() else {
            self.notes.fault(
                &at,
                format!("must be a table, not {}", kind(value.get_ref())),
            );
            return None;
        };
        Some(Table {
            notes: self.notes,
            source: self.source,
            path: self.child_path(key),
            at,
            entries: Some(entries),
            asked: RefCell::default(),
        })
    }

    /// Faults every key that was not asked for.
    pub(super) fn finish(self) {
        self.finish_with(suggest::unknown_key);
    }

    /// Faults every key that was not asked for. `message` is made from that key and the known ones.
    pub(super) fn finish_with(self, message: impl Fn(&str, &[&str]) -> String) {
        let asked = self.asked.borrow();
        for key in self.entries.into_iter().flat_map(|entries| entries.keys()) {
            if !asked.iter().any(|known| *known == &**key.get_ref()) {
                let at = self.source.at(&key.span(), self.child_path(key.get_ref()));
                self.notes.fault(&at, message(key.get_ref(), &asked));
            }
        }
    }
}

/// Whether a key can be shown: a URL, and so a password in one, cannot pass for a plain word.
pub(super) fn is_plain(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What the value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
