//! Names of queues as they are shown in labels, JSON and logs.

use std::fmt::Write as _;

/// The name as text. UTF-8 stays as it is; in a name that is not, and in one with a NUL (which
/// Prometheus takes for the end of its input), the bytes that cannot be shown become `\xNN`.
pub fn shown(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\0' {
                text.push_str("\\x00");
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            write!(text, "\\x{byte:02x}").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn names_stay_readable() {
        assert_eq!(shown("emails/äöü \"x\"\n".as_bytes()), "emails/äöü \"x\"\n");
        assert_eq!(shown(b"a\xff\0b"), "a\\xff\\x00b");
    }
}
