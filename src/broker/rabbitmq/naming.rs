//! Names of queues across virtual hosts: those of the first vhost as they are, of others as
//! `vhost/queue`.

use crate::layout::name::shown;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::sync::Arc;

/// AMQP's limit for the name of a queue.
const MAX_NAME_BYTES: usize = 255;

/// How a queue of `vhost`, the `at`th configured one, is shown.
pub(super) fn display(at: usize, vhost: &str, queue: &str) -> Arc<str> {
    if at == 0 {
        shown(queue.as_bytes()).into()
    } else {
        shown(format!("{vhost}/{queue}").as_bytes()).into()
    }
}

/// The vhost and the name in it that a displayed name means.
pub(super) fn resolve<'a>(vhosts: &[String], displayed: &'a str) -> (usize, &'a str) {
    vhosts
        .iter()
        .enumerate()
        .skip(1)
        .find_map(|(at, vhost)| {
            Some((
                at,
                displayed.strip_prefix(vhost.as_str())?.strip_prefix('/')?,
            ))
        })
        .unwrap_or((0, displayed))
}

/// Those of `patterns` that are names and not globs, each once.
pub(super) fn literals<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = patterns
        .into_iter()
        .filter(|name| !name.contains(['*', '?', '[', '{', '\\']) && name.len() <= MAX_NAME_BYTES)
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A matcher of displayed names. The loader refuses globs that cannot be compiled.
pub(super) fn matcher(globs: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| Glob::new(glob).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_vhost_goes_without_saying() {
        let vhosts = ["/".to_owned(), "eu".to_owned()];
        assert_eq!(&*display(0, "/", "mail"), "mail");
        assert_eq!(&*display(1, "eu", "mail"), "eu/mail");
        assert_eq!(resolve(&vhosts, "eu/mail"), (1, "mail"));
        assert_eq!(resolve(&vhosts, "us/mail"), (0, "us/mail"));
    }

    #[test]
    fn a_glob_names_no_queue() {
        let patterns = ["b", "a*", "a", "b", "x?", "[c]"].map(str::to_owned);
        assert_eq!(literals(&patterns), ["a", "b"]);
    }
}
