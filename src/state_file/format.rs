//! The bytes of the file: a line that says what it is, its length and its checksum; then JSON.

use super::Section;
use flate2::Crc;

const MAGIC: &str = "tailback-state";

/// Raised whenever an older tailback could misunderstand the rest.
const VERSION: u32 = 1;

/// Longer files nobody writes.
pub(super) const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is no state file of tailback")]
    NotOurs,
    #[error("it is of format {0}, and this tailback knows only format {VERSION}")]
    OtherVersion(u32),
    #[error("it is damaged: length or checksum are not what they should be")]
    Damaged,
    #[error("it is of brokers that are not configured, or not as they were")]
    Foreign,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

pub(super) fn encode<'a>(sections: impl Iterator<Item = &'a Section>) -> Result<Vec<u8>, String> {
    let sections: Vec<&Section> = sections.collect();
    let body = serde_json::to_vec(&sections).map_err(|error| error.to_string())?;
    if body.len() as u64 >= MAX_BYTES {
        return Err(format!("it would have {} bytes", body.len()));
    }
    let mut bytes = header(VERSION, &body).into_bytes();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Section>, Refusal> {
    let end = bytes.iter().take(80).position(|byte| *byte == b'\n');
    let (header_line, body) = end
        .and_then(|end| bytes.split_at_checked(end + 1))
        .ok_or(Refusal::NotOurs)?;
    let line = std::str::from_utf8(header_line).map_err(|_| Refusal::NotOurs)?;
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some(MAGIC) {
        return Err(Refusal::NotOurs);
    }
    let version: Option<u32> = words.next().and_then(|word| word.parse().ok());
    match version {
        Some(VERSION) => {}
        Some(other) => return Err(Refusal::OtherVersion(other)),
        None => return Err(Refusal::NotOurs),
    }
    // Compared as text, so that no other spelling of the same numbers will do.
    if line != header(VERSION, body) {
        return Err(Refusal::Damaged);
    }
    serde_json::from_slice(body).map_err(|_| Refusal::Damaged)
}

fn header(version: u32, body: &[u8]) -> String {
    format!("{MAGIC} {version} {} {:08x}\n", body.len(), checksum(body))
}

#[cfg(test)]
pub(super) fn with_header(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(version, body).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
