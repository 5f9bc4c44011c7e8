//! Takes typed values out of a table; what is of another type or out of range is a fault.

use super::fault::{At, Placed};
use super::reader::{Table, kind};
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Strings, each with its place, and the place of the array.
pub(super) type Texts = Placed<Vec<Placed<String>>>;

impl<'a> Table<'a> {
    /// The value that `take` finds, or a fault that says what it must be.
    fn typed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        take: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<Placed<T>> {
        let (at, found) = self.entry(key)?;
        let Some(value) = take(found) else {
            self.notes
                .fault(&at, format!("must be {wanted}, not {}", kind(found)));
            return None;
        };
        Some(Placed { value, at })
    }

    pub(super) fn text(&self, key: &'static str) -> Option<Placed<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<Placed<bool>> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// An array whose elements `take` accepts. `wanted`: what all and what each must be.
    fn array<T>(
        &self,
        key: &'static str,
        wanted: [&str; 2],
        take: impl Fn(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<Placed<Vec<Placed<T>>>> {
        let [all, each] = wanted;
        let array = self.typed(key, &format!("an array of {all}"), DeValue::as_array)?;
        let place = |element: &Spanned<_>| At {
            place: self.source.place(&element.span()),
            path: array.at.path.clone(),
        };
        let mut values = Vec::new();
        for element in array.value {
            match take(element.get_ref()) {
                Some(value) => values.push(Placed {
                    value,
                    at: place(element),
                }),
                None => self
                    .notes
                    .fault(&place(element), format!("each element must be {each}")),
            }
        }
        Some(Placed {
            value: values,
            at: array.at,
        })
    }

    pub(super) fn texts(&self, key: &'static str) -> Option<Texts> {
        self.array(key, ["strings", "a string"], |value| {
            value.as_str().map(str::to_owned)
        })
    }

    /// `word` alone (then the result is empty), or several strings in an array.
    pub(super) fn word_or_texts(&self, key: &'static str, word: &str) -> Option<Result<(), Texts>> {
        match self.entry(key)? {
            (_, DeValue::String(text)) if text == word => Some(Ok(())),
            (at, DeValue::String(_)) => {
                self.reject(&at, format!("must be \"{word}\" or an array of strings"))
            }
            _ => self.texts(key).map(Err),
        }
    }

    pub(super) fn bytes(&self, key: &'static str) -> Option<Placed<Vec<Placed<u8>>>> {
        self.array(
            key,
            ["whole numbers", "a whole number between 0 and 255"],
            |value| integer(value).and_then(|value| u8::try_from(value).ok()),
        )
    }

    pub(super) fn numbers(&self, key: &'static str) -> Option<Placed<Vec<Placed<f64>>>> {
        self.array(key, ["numbers", "a finite number"], |value| {
            let number: f64 = match value {
                DeValue::Float(value) => value.as_str().replace('_', "").parse().ok()?,
                value => f64::from(u32::try_from(integer(value)?).ok()?),
            };
            number.is_finite().then_some(number)
        })
    }

    pub(super) fn integer(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Placed<u64>> {
        let (min, max) = (range.start(), range.end());
        let wanted = format!("a whole number between {min} and {max}");
        let found = self.typed(key, &wanted, |value| {
            value.as_integer().map(|_| integer(value))
        })?;
        match found.value {
            Some(value) if range.contains(&value) => Some(Placed {
                value,
                at: found.at,
            }),
            _ => self.reject(&found.at, format!("must be between {min} and {max}")),
        }
    }

    /// A number above 0 and at most 1.
    pub(super) fn share(&self, key: &'static str) -> Option<Placed<f64>> {
        const WANTED: &str = "a number above 0 and at most 1";
        let found = self.typed(key, WANTED, |value| match value {
            DeValue::Float(value) => Some(value.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Integer(_) => Some(if integer(value) == Some(1) {
                1.0
            } else {
                f64::NAN
            }),
            _ => None,
        })?;
        if found.value > 0.0 && found.value <= 1.0 {
            Some(found)
        } else {
            self.reject(&found.at, format!("must be {WANTED}"))
        }
    }

    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Placed<Duration>> {
        const EXAMPLES: &str = "for example \"500ms\", \"5s\" or \"1h 30m\"";
        let (at, value) = self.entry(key)?;
        let value = match value {
            DeValue::String(text) => humantime::parse_duration(text).ok(),
            DeValue::Integer(_) | DeValue::Float(_) => {
                return self.reject(&at, format!("needs a unit and quotes, {EXAMPLES}"));
            }
            other => {
                let message = format!("must be a duration, {EXAMPLES}, not {}", kind(other));
                return self.reject(&at, message);
            }
        };
        match value {
            None => self.reject(&at, format!("must be a number with a unit, {EXAMPLES}")),
            Some(value) if range.contains(&value) => Some(Placed { value, at }),
            Some(_) => {
                let (min, max) = (*range.start(), *range.end());
                let (min, max) = (
                    humantime::format_duration(min),
                    humantime::format_duration(max),
                );
                self.reject(&at, format!("must be between {min} and {max}"))
            }
        }
    }

    fn reject<T>(&self, at: &At, message: String) -> Option<T> {
        self.notes.fault(at, message);
        None
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
