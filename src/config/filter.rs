//! Which queues to export, by name.

use globset::{Glob, GlobSet};

/// Which queue names to export: included by any of `include`, excluded by none of `exclude`.
/// Globs over the displayed name; `*` matches `/` too.
#[derive(Debug, Clone)]
pub struct QueueFilter {
    /// `None` includes every name, without a matcher.
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// The globs as written, to compare and to show.
    written: (Vec<String>, Vec<String>),
}

const EVERYTHING: &str = "*";

impl QueueFilter {
    /// An empty `include` includes every name.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, globset::Error> {
        let everything = include.is_empty() || include.iter().any(|glob| glob == EVERYTHING);
        let written = if include.is_empty() {
            vec![EVERYTHING.to_owned()]
        } else {
            include.to_vec()
        };
        Ok(Self {
            include: if everything {
                None
            } else {
                Some(matcher(include)?)
            },
            exclude: matcher(exclude)?,
            written: (written, exclude.to_vec()),
        })
    }

    pub fn accepts(&self, queue: &str) -> bool {
        self.include
            .as_ref()
            .is_none_or(|include| include.is_match(queue))
            && !self.exclude.is_match(queue)
    }

    /// The globs as they were written: those that include, those that exclude.
    pub fn written(&self) -> (&[String], &[String]) {
        (&self.written.0, &self.written.1)
    }
}

impl Default for QueueFilter {
    /// Every queue.
    fn default() -> Self {
        Self {
            include: None,
            exclude: GlobSet::empty(),
            written: (vec![EVERYTHING.to_owned()], Vec::new()),
        }
    }
}

impl PartialEq for QueueFilter {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// What is wrong with this glob.
pub(super) fn glob_fault(glob: &str) -> Option<String> {
    let error = Glob::new(glob).err()?;
    // `error` itself would show the glob.
    Some(format!("is not a valid glob: {}", error.kind()))
}

fn matcher(globs: &[String]) -> Result<GlobSet, globset::Error> {
    GlobSet::new(
        globs
            .iter()
            .map(|glob| Glob::new(glob))
            .collect::<Result<Vec<_>, _>>()?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> QueueFilter {
        let owned = |globs: &[&str]| {
            globs
                .iter()
                .map(|&glob| glob.to_owned())
                .collect::<Vec<_>>()
        };
        QueueFilter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn names_are_included_and_excluded() {
        for (include, exclude, name, accepted) in [
            (&[][..], &[][..], "anything at/all", true),
            (&["*"], &[], "", true),
            (&["mail*"], &[], "mail/eu/bulk", true),
            (&["mail*"], &[], "email", false),
            (&["mail*", "pay"], &[], "pay", true),
            (&["*.dev"], &[], "a/b.dev", true),
            (&["*/bulk"], &[], "vhost/bulk", true),
            (&["{a,b}?"], &[], "b1", true),
            (&["[ab]"], &[], "c", false),
            (&[], &["tmp-*"], "tmp-1", false),
            (&[], &["tmp-*"], "my-tmp-1", true),
            (&["mail*"], &["*bulk"], "mail-bulk", false),
            (&["*\n*"], &[], "two\nlines", true),
            (&["größe"], &[], "größe", true),
            (&["*."], &[], "ends with a dot.", true),
            (&["*/"], &[], "ends with a slash/", true),
            (&["*..dev"], &[], "x..dev", true),
        ] {
            let accepts = filter(include, exclude).accepts(name);
            assert_eq!(accepts, accepted, "{include:?} {exclude:?} {name:?}");
        }
    }

    #[test]
    fn the_default_is_everything() {
        assert_eq!(filter(&[], &[]), QueueFilter::default());
        assert_eq!(filter(&["*"], &[]), QueueFilter::default());
        assert!(QueueFilter::default().accepts("x"));
    }

    #[test]
    fn a_broken_glob_is_refused_without_being_shown() {
        assert!(QueueFilter::new(&["[a".to_owned()], &[]).is_err());
        assert!(QueueFilter::new(&[], &["{a".to_owned()]).is_err());
        assert_eq!(
            glob_fault("[hunter2").unwrap(),
            "is not a valid glob: unclosed character class; missing ']'"
        );
    }
}
