//! The environment variables, read once.

use super::Secret;
use std::collections::BTreeMap;
use std::fmt;

/// The environment variables of a process, or made-up ones in a test. `Debug` shows no values.
#[derive(Clone, Default)]
pub struct Environment {
    /// `None`: not UTF-8.
    values: BTreeMap<String, Option<Secret>>,
}

impl Environment {
    /// This process's environment. A variable whose name is not UTF-8 is left out.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    pub fn of_process() -> Self {
        let values = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.into_string().ok().map(Secret::new),
                ))
            })
            .collect();
        Self { values }
    }

    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let values = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), Some(Secret::new(value))))
            .collect();
        Self { values }
    }

    /// The variable's value: `Ok(None)` if it is not set, an error if it is not UTF-8.
    pub fn get(&self, name: &str) -> Result<Option<&str>, NotUtf8> {
        match self.values.get(name) {
            None => Ok(None),
            Some(None) => Err(NotUtf8),
            Some(Some(value)) => Ok(Some(value.expose())),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.values.len())
    }
}

/// An environment variable holds bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its value is not UTF-8")]
pub struct NotUtf8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_variable_is_set_or_not_or_no_text() {
        let mut env = Environment::from_pairs([("A", "1")]);
        env.values.insert("TAILBACK_BROKERS".to_owned(), None);
        assert_eq!(env.get("A"), Ok(Some("1")));
        assert_eq!(env.get("B"), Ok(None));
        assert_eq!(env.get("TAILBACK_BROKERS"), Err(NotUtf8));
        assert_eq!(
            Config::load(None, &[], &env).unwrap_err().to_string(),
            "TAILBACK_BROKERS: its value is not UTF-8"
        );
    }

    #[test]
    fn the_process_has_an_environment() {
        assert!(!Environment::of_process().values.is_empty());
    }
}
