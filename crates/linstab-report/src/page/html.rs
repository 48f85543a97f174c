//! Text to HTML.

/// Escapes a text for elements and attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escapes a sentence; `**x**` becomes bold, `` `x` `` code. A mark without its partner stays as it is.
pub(super) fn sentence(text: &str) -> String {
    let escaped = escape(text);
    let bold = paired(&escaped, "**", "<strong>", "</strong>");
    // A number and its unit stay on one line.
    paired(&bold, "`", "<code>", "</code>").replace(" %", "&nbsp;%")
}

fn paired(text: &str, mark: &str, open: &str, close: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(mark) {
        let Some((inside, after)) = inside.split_once(mark) else { break };
        html.extend([before, open, inside, close]);
        rest = after;
    }
    html.push_str(rest);
    html
}

/// A text as part of an identifier: lower-case letters, digits and hyphens.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// JSON for a script element: no text in it can end the element.
pub(super) fn json(text: &str) -> String {
    text.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_before_it_is_marked_up() {
        assert_eq!(
            sentence("a < b, **98 %** of `x & y`"),
            "a &lt; b, <strong>98&nbsp;%</strong> of <code>x &amp; y</code>"
        );
        assert_eq!(sentence("2 * 3 ** <script>"), "2 * 3 ** &lt;script&gt;", "a mark without its partner");
        assert_eq!(escape("\"'"), "&quot;&#39;");
    }

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("Figure 1 (a)"), "figure-1-a");
        assert_eq!(slug("SAM, ρ/α = 0.1"), "sam-0-1");
    }

    #[test]
    fn a_script_cannot_be_ended_by_data() {
        assert!(!json(r#"{"a": "</script>"}"#).contains('<'));
    }
}
