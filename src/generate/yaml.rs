//! As much YAML as rule files need: maps, lists and strings. Every string is quoted, in the form that
//! JSON and YAML share, so that none can be taken for anything else.

/// A document that is being written.
#[derive(Debug, Default)]
pub(super) struct Yaml {
    text: String,
    depth: usize,
    /// The next line is the first of a list's item.
    is_item: bool,
}

impl Yaml {
    pub(super) fn comment(&mut self, text: &str) {
        self.line(&format!("# {text}"));
    }

    /// A key with a map or list below it.
    pub(super) fn table(&mut self, key: &str, content: impl FnOnce(&mut Self)) {
        self.line(&format!("{key}:"));
        self.depth += 1;
        content(self);
        self.depth -= 1;
    }

    /// An item of a list that is a map.
    pub(super) fn item(&mut self, content: impl FnOnce(&mut Self)) {
        self.is_item = true;
        self.depth += 1;
        content(self);
        self.depth -= 1;
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        if value.contains('\n') {
            self.line(&format!("{key}: |-"));
            self.depth += 1;
            for line in value.lines() {
                self.line(line);
            }
            self.depth -= 1;
        } else {
            self.name(key, value);
        }
    }

    /// A text of somebody else's, line breaks and all.
    pub(super) fn name(&mut self, key: &str, value: &str) {
        self.line(&format!("{key}: {}", quoted(value)));
    }

    pub(super) fn number(&mut self, key: &str, value: u32) {
        self.line(&format!("{key}: {value}"));
    }

    /// Begins a further document.
    pub(super) fn document(&mut self) {
        self.line("---");
    }

    /// A list of strings on one line.
    pub(super) fn texts(&mut self, key: &str, values: &[&str]) {
        let values: Vec<serde_json::Value> = values.iter().map(|value| (*value).into()).collect();
        let values = serde_json::Value::from(values);
        self.line(&format!("{key}: {values}"));
    }

    /// A word that needs no quotes: a number of seconds, a name of ours.
    pub(super) fn word(&mut self, key: &str, value: &str) {
        self.line(&format!("{key}: {value}"));
    }

    fn line(&mut self, line: &str) {
        let spaces = self.depth * 2;
        if std::mem::take(&mut self.is_item) {
            self.text.push_str(&" ".repeat(spaces.saturating_sub(2)));
            self.text.push_str("- ");
        } else {
            self.text.push_str(&" ".repeat(spaces));
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// In the form that JSON and YAML share; YAML takes no control characters as they are.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let escaped = json.chars().map(|letter| match letter {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(letter))
        }
        letter => letter.to_string(),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_yaml_that_a_person_can_read() {
        let mut yaml = Yaml::default();
        yaml.comment("made");
        yaml.table("groups", |yaml| {
            yaml.item(|yaml| {
                yaml.text("name", "a: \"b\"");
                yaml.text("expr", "x\n  > 1");
                yaml.texts("equal", &["broker"]);
            });
            yaml.item(|yaml| yaml.word("for", "5m"));
        });
        assert_eq!(
            yaml.finish(),
            "# made\ngroups:\n  - name: \"a: \\\"b\\\"\"\n    expr: |-\n      x\n        > 1\n    \
             equal: [\"broker\"]\n  - for: 5m\n"
        );
    }
}
