//! The labels of a sample in the Prometheus plugin's text.
//!
//! RabbitMQ writes backslashes and quotes in names as they are, without escaping them, up to 3.10 and in
//! early patch releases of 3.11 and 3.12: `queue="say "it""`, and `queue="end\"` for a name that ends
//! in a backslash. Later ones escape them, as the format demands.

use std::collections::HashMap;

/// What is within the braces, from behind the first, and the value after them.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (labels, value) = text.rsplit_once('}')?;
    Some((labels, value.trim()))
}

/// The labels, if all that must be escaped is.
pub(super) fn escaped(mut text: &str) -> Option<HashMap<&str, String>> {
    let mut labels = HashMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        let is_new = labels.insert(name, value).is_none();
        // 4.0.1 and 4.0.2 write the vhost twice.
        if !is_new && name != "vhost" {
            return None;
        }
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(labels)
}

/// A value from behind its first quote, and what is behind its last.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                char @ ('\\' | '"') => char,
                _ => return None,
            }),
            char => value.push(char),
        }
    }
    None
}

/// Vhost and queue where nothing is escaped: these are all the labels that there are.
pub(super) fn raw(text: &str) -> Option<(&str, &str)> {
    let names = text.strip_prefix("vhost=\"")?.strip_suffix('"')?;
    names.split_once("\",queue=\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escape(name: &str) -> String {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        name.replace('\n', "\\n")
    }

    #[test]
    fn what_is_not_escaped_is_no_escaped_text() {
        for text in [
            r#"vhost="/",queue="say "it"""#,
            r#"vhost="/",queue="end\""#,
            r#"vhost="v\",queue="q""#,
            r#"vhost="/",queue="b\s""#,
            r#"vhost="/",queue="a",queue="b""#,
            r#"vhost="/",queue="q",,"#,
            r#"vhost="/",queue="q"#,
        ] {
            assert_eq!(escaped(text), None, "{text}");
        }
        let twice = escaped(r#"vhost="/",queue="q",vhost="/",exchange="""#).unwrap();
        assert_eq!((&*twice["vhost"], &*twice["exchange"]), ("/", ""));
        assert_eq!(split(r#"queue="}"} 4"#), Some((r#"queue="}""#, "4")));
    }

    proptest! {
        #[test]
        fn names_come_back_as_they_were(vhost in "[a\\\\\"\n,}=]{0,6}", queue in "[a\\\\\"\n,}=ü]{0,6}") {
            let text = format!("vhost=\"{}\",queue=\"{}\"", escape(&vhost), escape(&queue));
            let labels = escaped(&text).unwrap();
            prop_assert_eq!((&labels["vhost"], &labels["queue"]), (&vhost, &queue));
            // Of what is not escaped a vhost must not look like a label.
            let text = format!("vhost=\"{vhost}\",queue=\"{queue}\"");
            prop_assert_eq!(raw(&text), Some((&*vhost, &*queue)));
        }
    }
}
