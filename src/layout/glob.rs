//! Redis glob patterns (`*`, `?`, `[a-z]`, `[^x]`, `\`), as `SCAN MATCH` understands them, for keys
//! that one unfiltered walk has brought. Follows `stringmatchlen` of Redis's `util.c`.

/// Whether `text` matches `pattern` as a whole.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go on after the last `*`, should the rest not match: (pattern after it, text).
    let mut retry: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut text) = (pattern, text);
    loop {
        if let [b'*', rest @ ..] = pattern {
            retry = Some((rest, text));
            pattern = rest;
            continue;
        }
        match (one(pattern, text.first().copied()), text) {
            (Some(rest), [_, tail @ ..]) => (pattern, text) = (rest, tail),
            _ if pattern.is_empty() && text.is_empty() => return true,
            _ => match retry {
                Some((after, [_, tail @ ..])) => {
                    retry = Some((after, tail));
                    (pattern, text) = (after, tail);
                }
                _ => return false,
            },
        }
    }
}

/// The text as a glob that matches only it.
pub fn escape(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|byte| {
            let special = matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^');
            special.then_some(b'\\').into_iter().chain([*byte])
        })
        .collect()
}

/// Whether the pattern is only one literal key, so that no walk is needed to find it.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// The pattern after its first element, if that matches `byte`.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<&[u8]> {
    let byte = byte?;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// The pattern after a class whose `[` is already taken. An unclosed class ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut pattern) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let rest = loop {
        pattern = match pattern {
            [] => break pattern,
            [b']', rest @ ..] => break rest,
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("work:*", "work:a", true),
            ("work:*", "wor", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("{x}*", "{x}y", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                want,
                "{pattern} on {text}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_ends_for_every_input(
            pattern in prop::collection::vec(prop::sample::select(b"*?[]^-\\ab".to_vec()), 0..20),
            text in prop::collection::vec(prop::sample::select(b"ab-]".to_vec()), 0..20),
        ) {
            matches(&pattern, &text);
        }

        #[test]
        fn a_literal_matches_itself_alone(text in "[a-z:]{0,10}", other in "[a-z:]{0,10}") {
            prop_assert!(is_literal(text.as_bytes()));
            prop_assert_eq!(matches(text.as_bytes(), other.as_bytes()), text == other);
        }
    }
}
