//! What to say about a key that does not exist.

/// The message for `unknown`, in a table that has the keys `known`.
pub(super) fn unknown_key(unknown: &str, known: &[&str]) -> String {
    let [file, variable] = ["file", "env"].map(|place| format!("{unknown}_{place}"));
    if known.contains(&&*file) && known.contains(&&*variable) {
        return format!("a password is not written here; use `{file}` or `{variable}`");
    }
    match closest(unknown, known) {
        Some(key) => format!("unknown key; did you mean `{key}`?"),
        None => format!("unknown key; known here: {}", list(known)),
    }
}

/// `` `a`, `b` and `c` ``
pub(super) fn list<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// `` `redis://`, `rediss://` or `unix://` ``
pub(super) fn schemes(schemes: &[&str]) -> String {
    let quoted: Vec<_> = schemes
        .iter()
        .map(|scheme| format!("`{scheme}://`"))
        .collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The known name that differs by at most a third of its letters, if any.
fn closest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|key| (distance(&unknown, key), *key))
        .filter(|(distance, key)| *distance <= key.len() / 3)
        .min()
        .map(|(_, key)| key)
}

/// How many characters must be put in, left out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    // Row by row; `row[j]` is the distance between the read part of `a` and the first j of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (to, pair) in b.chars().zip(row.windows(2)) {
            let (Some(left), [above_left, above]) = (next.last(), pair) else {
                continue;
            };
            let replaced = above_left + usize::from(from != to);
            next.push(replaced.min(left + 1).min(above + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_suggested() {
        let known = ["interval", "timeout", "max_queues"];
        let message = |key| unknown_key(key, &known);
        assert_eq!(
            message("intervall"),
            "unknown key; did you mean `interval`?"
        );
        assert_eq!(
            message("max-queues"),
            "unknown key; did you mean `max_queues`?"
        );
        assert_eq!(
            message("colour"),
            "unknown key; known here: `interval`, `timeout` and `max_queues`"
        );
        assert_eq!(
            unknown_key("password", &["url", "password_file", "password_env"]),
            "a password is not written here; use `password_file` or `password_env`"
        );
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ab", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
