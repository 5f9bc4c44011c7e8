//! Writes metric families in the Prometheus text format 0.0.4 and in OpenMetrics 1.0.
//!
//! Our own, since 100,000 series take a general encoder eight times as long and a million
//! allocations (see `docs/ARCHITECTURE.md`).

use super::catalog::{MetricDef, MetricType};
use crate::model::Example;

/// A form of exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// An exposition on its way out, in pieces: 100,000 series are 10 MB, which nobody needs to hold at
/// once.
pub(super) struct Encoder<'a> {
    out: Vec<u8>,
    sink: &'a mut dyn FnMut(&[u8]),
    format: Format,
    /// The header of the family that is open; written with its first sample, so that a family
    /// without samples leaves no trace.
    header: String,
}

/// A piece is handed on when it has grown to this size.
const PIECE: usize = 64 * 1024;

/// OpenMetrics' limit for the names and values of an exemplar's labels.
const EXEMPLAR_CHARS: usize = 128;

/// A sample's value. Integers are written without a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Int(u64),
    Float(f64),
}

/// Escapes and quotes a label value into `out`.
pub(super) fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

// === impl Encoder ===

impl<'a> Encoder<'a> {
    pub(super) fn new(format: Format, sink: &'a mut dyn FnMut(&[u8])) -> Self {
        Self {
            out: Vec::with_capacity(PIECE + 4096),
            sink,
            format,
            header: String::new(),
        }
    }

    /// Opens a family of the catalog. Its samples must follow before the next family.
    pub(super) fn family(&mut self, def: &MetricDef) {
        self.header(def.name, def.help, def.kind);
    }

    pub(super) fn header(&mut self, name: &str, help: &str, kind: MetricType) {
        // OpenMetrics names a counter's family without the suffix of its samples.
        let family = match (self.format, kind) {
            (Format::OpenMetrics, MetricType::Counter) => {
                name.strip_suffix("_total").unwrap_or(name)
            }
            _ => name,
        };
        self.header.clear();
        for part in [
            "# HELP ",
            family,
            " ",
            help,
            "\n# TYPE ",
            family,
            " ",
            kind.as_str(),
            "\n",
        ] {
            self.header.push_str(part);
        }
    }

    /// One sample. `labels` is escaped already and without braces, `more` one further label whose
    /// value needs no escaping.
    pub(super) fn sample(
        &mut self,
        name: &str,
        labels: &str,
        more: Option<(&str, &str)>,
        value: Value,
    ) {
        self.write(name, labels, more, value);
        self.end_line();
    }

    /// A sample of a bucket, with a job as an example of what is in it where the format has that.
    pub(super) fn bucket(
        &mut self,
        name: &str,
        labels: &str,
        le: &str,
        within: u64,
        example: Option<&Example>,
    ) {
        self.write(name, labels, Some(("le", le)), Value::Int(within));
        if let Some(example) = example.filter(|_| self.format == Format::OpenMetrics) {
            self.exemplar(example);
        }
        self.end_line();
    }

    fn exemplar(&mut self, example: &Example) {
        const NAME: &str = "task_id";
        if NAME.len() + example.id.chars().count() > EXEMPLAR_CHARS {
            return;
        }
        let mut labels = String::new();
        label(&mut labels, NAME, &example.id);
        let mut numbers = (ryu::Buffer::new(), ryu::Buffer::new());
        let time = numbers.0.format_finite(example.time.as_secs_f64());
        let at = numbers.1.format_finite(example.at.as_secs_f64());
        for part in [" # {", &labels, "} ", time, " ", at] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    fn write(&mut self, name: &str, labels: &str, more: Option<(&str, &str)>, value: Value) {
        self.out.extend_from_slice(self.header.as_bytes());
        self.header.clear();
        self.out.extend_from_slice(name.as_bytes());
        if !labels.is_empty() || more.is_some() {
            self.out.push(b'{');
            self.out.extend_from_slice(labels.as_bytes());
            if let Some((name, value)) = more {
                if !labels.is_empty() {
                    self.out.push(b',');
                }
                for part in [name, "=\"", value, "\""] {
                    self.out.extend_from_slice(part.as_bytes());
                }
            }
            self.out.push(b'}');
        }
        self.out.push(b' ');
        match value {
            Value::Int(number) => {
                self.out
                    .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Float(number) if number.is_finite() => {
                self.out
                    .extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
            }
            // Only a histogram's own bounds get here; our gauges are never NaN.
            Value::Float(number) => {
                let text = if number > 0.0 {
                    "+Inf"
                } else if number < 0.0 {
                    "-Inf"
                } else {
                    "NaN"
                };
                self.out.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn end_line(&mut self) {
        self.out.push(b'\n');
        if self.out.len() >= PIECE {
            (self.sink)(&self.out);
            self.out.clear();
        }
    }

    pub(super) fn finish(mut self) {
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
        (self.sink)(&self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_label_value_is_escaped_and_nothing_else_is() {
        let mut labels = String::new();
        label(&mut labels, "queue", "a\"b\\c\nd\té");
        label(&mut labels, "system", "rq");
        assert_eq!(labels, "queue=\"a\\\"b\\\\c\\nd\té\",system=\"rq\"");
    }

    #[test]
    fn numbers_keep_their_kind() {
        let mut out = Vec::new();
        let mut sink = |piece: &[u8]| out.extend_from_slice(piece);
        let mut encoder = Encoder::new(Format::Text, &mut sink);
        encoder.sample("a", "", None, Value::Int(3));
        encoder.sample("b", "x=\"1\"", Some(("le", "30.0")), Value::Float(3.0));
        encoder.sample("c", "", Some(("le", "+Inf")), Value::Float(f64::INFINITY));
        encoder.finish();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "a 3\nb{x=\"1\",le=\"30.0\"} 3.0\nc{le=\"+Inf\"} +Inf\n"
        );
    }

    #[test]
    fn an_exemplar_is_openmetrics_alone_and_not_too_long() {
        let example = |id: &str| Example {
            id: id.into(),
            time: std::time::Duration::from_millis(1500),
            at: crate::model::Timestamp::from_micros(1_795_410_397_500_000),
        };
        let written = |format, id: &str| {
            let mut out = Vec::new();
            let mut sink = |piece: &[u8]| out.extend_from_slice(piece);
            let mut encoder = Encoder::new(format, &mut sink);
            encoder.bucket("b", "q=\"x\"", "2.0", 7, Some(&example(id)));
            encoder.finish();
            String::from_utf8(out).unwrap()
        };
        let plain = "b{q=\"x\",le=\"2.0\"} 7\n";
        assert_eq!(written(Format::Text, "a"), plain);
        assert_eq!(
            written(Format::OpenMetrics, "a\"b"),
            "b{q=\"x\",le=\"2.0\"} 7 # {task_id=\"a\\\"b\"} 1.5 1795410397.5\n# EOF\n"
        );
        assert!(written(Format::OpenMetrics, &"é".repeat(121)).contains(" # {"));
        let too_long = written(Format::OpenMetrics, &"é".repeat(122));
        assert_eq!(too_long, format!("{plain}# EOF\n"));
    }

    proptest! {
        #[test]
        fn an_escaped_value_reads_back(value in any::<String>()) {
            let mut labels = String::new();
            label(&mut labels, "q", &value);
            let inner = labels.strip_prefix("q=\"").unwrap().strip_suffix('"').unwrap();
            let mut read = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '"' && c != '\n');
                read.push(if c == '\\' {
                    match chars.next().unwrap() { 'n' => '\n', other => other }
                } else { c });
            }
            prop_assert_eq!(read, value);
        }
    }
}
