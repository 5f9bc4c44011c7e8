//! Text that becomes HTML. What is not our own literal is escaped: a queue's name may be anything.

use crate::human;

/// A document, or a part of one, under construction.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// Longer names are cut: a queue's name may have thousands of characters.
const NAME_MAX: usize = 200;

impl Html {
    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, between tags or in a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// ` NAME="VALUE"`.
    pub(super) fn attribute(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// The name of a broker or queue, with what is invisible in it made visible.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        let mut shown: String = human::name(name).chars().take(NAME_MAX + 1).collect();
        if shown.chars().count() > NAME_MAX {
            shown.pop();
            shown.push('…');
        }
        // Letters of a right-to-left script must not turn their surroundings around.
        self.raw("<bdi>").text(&shown).raw("</bdi>")
    }

    /// A value that nobody knows.
    pub(super) fn unknown(&mut self) -> &mut Self {
        self.raw(
            "<span class=\"none\" aria-hidden=\"true\">–</span><span class=\"vh\">unknown</span>",
        )
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_becomes_markup() {
        let mut html = Html::default();
        html.raw("<p")
            .attribute("title", "a\" onload='x' &amp; <b>");
        html.raw(">").name("<script>\u{0}\u{202e}").raw("</p>");
        assert_eq!(
            html.into_string(),
            "<p title=\"a&quot; onload=&#39;x&#39; &amp;amp; &lt;b&gt;\">\
             <bdi>&lt;script&gt;\\u{0}\\u{202e}</bdi></p>"
        );
    }

    #[test]
    fn a_name_of_any_length_is_shown_in_short() {
        let mut html = Html::default();
        html.name(&"x".repeat(100_000));
        assert!(html.into_string().len() < 300);
    }
}
