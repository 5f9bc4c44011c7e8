//! The list of queues as one JSON array, which the management API sends when no page is asked for.
//!
//! It is taken as it comes in, a row at a time, so that memory grows with the queues that are kept
//! and not with the answer.

use super::QueueRow;
use serde_json::Value;
use std::collections::BTreeMap;

/// Two names of 255 bytes, and arguments of any sensible size.
const MAX_ROW: usize = 1 << 20;
/// As many as are read in pages.
const MAX_ROWS: usize = 100_000;

/// The rows of one list, by name.
#[derive(Debug, Default)]
pub struct Rows {
    pub rows: BTreeMap<String, QueueRow>,
    /// Rows that are none.
    pub undecodable: u64,
    /// Rows beyond [`MAX_ROWS`].
    pub unread: u64,
    /// A row that has not ended yet.
    row: Vec<u8>,
    /// So many brackets and braces are open.
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
    has_ended: bool,
}

// === impl Rows ===

impl Rows {
    /// Takes the next bytes, wherever they are cut; says what is wrong with them.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            self.byte(*byte)?;
        }
        Ok(())
    }

    /// Whether the list has come to its end.
    pub const fn is_whole(&self) -> bool {
        self.has_ended
    }

    fn byte(&mut self, byte: u8) -> Result<(), String> {
        let is_between = self.depth <= 1;
        match byte {
            _ if self.is_in_text => {
                self.is_in_text = byte != b'"' || self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
            }
            b' ' | b'\t' | b'\r' | b'\n' if is_between => return Ok(()),
            b',' if self.depth == 1 => return Ok(()),
            b'[' if self.depth == 0 && !self.has_ended => {
                self.depth = 1;
                return Ok(());
            }
            b']' if self.depth == 1 => {
                (self.depth, self.has_ended) = (0, true);
                return Ok(());
            }
            b'{' if self.depth == 1 => self.depth = 2,
            _ if is_between => return Err("something that is no list of queues".to_owned()),
            b'"' => self.is_in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.row.push(byte);
        if self.row.len() > MAX_ROW {
            return Err(format!("a row of more than {MAX_ROW} bytes"));
        }
        if self.depth == 1 {
            self.end_row()?;
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), String> {
        let row: Value = serde_json::from_slice(&self.row)
            .map_err(|error| format!("a row that is no JSON: {error}"))?;
        self.row.clear();
        match QueueRow::decode(&row) {
            Some(_) if self.rows.len() >= MAX_ROWS => self.unread += 1,
            Some(row) => {
                self.rows.insert(row.name.clone(), row);
            }
            None => self.undecodable += 1,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str, cut: usize) -> Result<Rows, String> {
        let mut rows = Rows::default();
        for part in text.as_bytes().chunks(cut.max(1)) {
            rows.take(part)?;
        }
        Ok(rows)
    }

    fn list() -> Value {
        json!([
            {"name": "a \"}],[{ \\", "arguments": {"x-list": [{"deep": []}, "]"]}, "messages_ready": 3},
            {"nameless": 1},
            {"name": "ü", "messages_ready": 0, "consumers": 2},
        ])
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_it_says_the_same(cut in 1usize..200, pretty in any::<bool>()) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&list()).unwrap(),
                false => list().to_string(),
            };
            let rows = read(&text, cut).unwrap();
            prop_assert!(rows.is_whole());
            prop_assert_eq!((rows.undecodable, rows.unread), (1, 0));
            let want: Vec<_> = list().as_array().unwrap().iter().filter_map(QueueRow::decode).collect();
            prop_assert_eq!(rows.rows.into_values().collect::<Vec<_>>(), want);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:a1\\\\ ]{0,40}") {
            read(&text, 3).ok();
        }
    }

    #[test]
    fn a_list_that_is_cut_off_is_not_whole() {
        let text = list().to_string();
        for end in 0..text.len() {
            let rows = read(text.get(..end).unwrap_or_default(), 7);
            assert!(!rows.unwrap().is_whole(), "{end}");
        }
        assert!(read("[]", 1).unwrap().is_whole());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "<html>",
            "{\"items\": []}",
            "[1]",
            "[[]]",
            "[{\"a\" 1}]",
            "[][",
            "null",
        ] {
            assert!(read(text, 100).is_err(), "{text}");
        }
    }
}
