//! `Html`: a document that is written piece by piece. Only literals are markup; every value in them is escaped.

/// HTML that is being written.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Appends markup, which only a literal can be, with a value for each `{}`: text between tags, or in a quoted
    /// attribute.
    pub(super) fn write<const VALUES: usize>(&mut self, markup: &'static str, values: [&str; VALUES]) {
        let mut pieces = markup.split("{}");
        debug_assert_eq!(markup.matches("{}").count(), VALUES, "{markup}");
        self.0.push_str(pieces.next().unwrap_or_default());
        for (value, piece) in values.into_iter().zip(pieces) {
            self.push_escaped(value);
            self.0.push_str(piece);
        }
    }

    /// The document.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn push_escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // HTML has no NUL.
                '\0' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Html;

    #[test]
    fn a_value_never_becomes_markup() {
        let mut html = Html::default();
        html.write(r#"<p title="{}">{}</p>"#, ["\"><script>", "<b>&amp;'\0</b>{}"]);
        assert_eq!(
            html.into_string(),
            "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;&amp;amp;&#39;\u{fffd}&lt;/b&gt;{}</p>"
        );
    }
}
