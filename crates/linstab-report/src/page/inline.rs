//! A drawing of ours as a part of the page.

use super::html::escape;

/// The drawing with its text alternative under identifiers of its own, without what a file needs and a page does not; `None` if it is
/// no SVG of ours.
pub(super) fn inline(svg: &str, id: &str, description: &str) -> Option<String> {
    let (opening, body) = svg.split_once('>')?;
    let view_box = opening.strip_prefix("<svg ")?.split_once("viewBox=\"")?.1.split_once('"')?.0;
    let width = view_box.split(' ').nth(2)?;
    let (title, body) = body.trim_start().strip_prefix("<title>")?.split_once("</title>")?;
    let description = escape(description);
    Some(format!(
        "<div class=\"stage\" style=\"--width:{width}\">\n<svg class=\"drawing\" viewBox=\"{view_box}\" role=\"img\" \
         aria-labelledby=\"{id}-title\" aria-describedby=\"{id}-desc\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>{body}</div>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::inline;
    use crate::drawing::{Anchor, Svg, Text};

    #[test]
    fn a_drawing_gets_identifiers_and_loses_its_namespace() {
        let mut figure = Svg::new(100.0, 50.0, "A < B");
        figure.text(1.0, 2.0, Text::new("label", 8.0, Anchor::Start));
        let html = inline(&figure.render(), "figure-9", "one & two").unwrap();
        assert!(html.contains("viewBox=\"0 0 100 50\"") && html.contains("--width:100"), "{html}");
        assert!(html.contains("<title id=\"figure-9-title\">A &lt; B</title>"), "{html}");
        assert!(html.contains("<desc id=\"figure-9-desc\">one &amp; two</desc>"), "{html}");
        assert!(html.contains("label") && html.trim_end().ends_with("</svg>\n</div>"), "{html}");
        assert!(!html.contains("http"), "no address, not even the namespace: {html}");
        assert_eq!(inline("<html></html>", "x", ""), None);
    }
}
