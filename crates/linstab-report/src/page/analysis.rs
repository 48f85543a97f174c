//! The page of a single analysis: one file, with its drawings and their data in it.

use std::fmt::Write;

use super::document::{POLICY, SCRIPT, STYLE};
use super::html::{escape, sentence, slug};
use super::inline::inline;

/// A page of one analysis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnalysisPage {
    /// What was analysed.
    pub title: String,
    /// The answer, in a sentence.
    pub verdict: String,
    /// The command that writes it.
    pub command: String,
    /// Its parts, in order.
    pub parts: Vec<AnalysisPart>,
}

/// A part of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnalysisPart {
    /// Its heading.
    pub title: String,
    /// What there is to say before the drawing.
    pub sentences: Vec<String>,
    /// The drawing, what it shows, and what there is to see for those who do not; none where there is nothing to draw.
    pub drawing: Option<(String, String)>,
    /// A caption.
    pub caption: String,
    /// Its numbers: the head, and rows.
    pub table: Vec<Vec<String>>,
}

impl AnalysisPart {
    /// Its numbers as CSV.
    pub fn csv(&self) -> String {
        let cell = |cell: &String| {
            if cell.contains([',', '"', '\n']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        };
        self.table.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n").collect()
    }
}

/// The page in HTML.
pub fn analysis_page(page: &AnalysisPage) -> String {
    let palette = crate::drawing::colour::stylesheet();
    let (title, verdict) = (escape(&page.title), escape(&page.verdict));
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}{palette}h1 {{ overflow-wrap: anywhere; }}\n</style>\n</head>\n\
         <body>\n<a class=\"skip\" href=\"#content\">Skip to the figures</a>\n<header class=\"top\">\n<div>\n<h1>{title}</h1>\n\
         <p class=\"lead\">{verdict}</p>\n</div>\n\
         <button id=\"theme\" type=\"button\" aria-label=\"Dark or light\" title=\"Dark or light\"></button>\n</header>\n\
         <div class=\"columns\">\n<nav class=\"contents\" aria-label=\"Contents\">\n<details open>\n<summary>Contents</summary>\n<ol>\n"
    );
    for part in &page.parts {
        let _ = writeln!(html, "<li><a href=\"#{}\">{}</a></li>", slug(&part.title), escape(&part.title));
    }
    html.push_str("</ol>\n</details>\n</nav>\n<main id=\"content\">\n");
    for part in &page.parts {
        section(&mut html, part);
    }
    let _ = write!(
        html,
        "<div class=\"again\"><p><span class=\"tag\">Again</span> <code class=\"command\">{}</code></p></div>\n</main>\n</div>\n\
         <footer>\n<p>Written by <code>linstab</code> {}. Curvatures are Gauss-Newton's. The exact mean-square threshold is that of Mulayoff and \
         Michaeli (COLT 2024).</p>\n</footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(&page.command),
        env!("CARGO_PKG_VERSION"),
    );
    html
}

fn section(html: &mut String, part: &AnalysisPart) {
    let (id, title) = (slug(&part.title), escape(&part.title));
    let _ = writeln!(
        html,
        "<section id=\"{id}\" class=\"experiment\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{title}</h2>"
    );
    for text in &part.sentences {
        let _ = writeln!(html, "<p>{}</p>", sentence(text));
    }
    let csv = ("data (CSV)", format!("{id}.csv"), data_uri("text/csv", &part.csv()));
    if let Some((svg, description)) = &part.drawing {
        let _ = writeln!(
            html,
            "<figure class=\"figure\" id=\"{id}-figure\" data-figure=\"{id}\">\n<div class=\"plot\">"
        );
        html.push_str(&inline(svg, &format!("{id}-drawing"), description).unwrap_or_default());
        let _ = writeln!(html, "</div>\n<figcaption>{}", sentence(&part.caption));
        links(html, &[csv, ("SVG", format!("{id}.svg"), data_uri("image/svg+xml", svg))]);
        html.push_str("</figcaption>\n</figure>\n");
    } else if !part.table.is_empty() {
        table(html, &title, part);
        links(html, &[csv]);
    }
    html.push_str("</section>\n");
}

fn table(html: &mut String, title: &str, part: &AnalysisPart) {
    let _ = writeln!(
        html,
        "<div class=\"table\">\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n<table>"
    );
    for (index, row) in part.table.iter().enumerate() {
        html.push_str(if index == 0 { "<thead>\n<tr>" } else { "<tr>" });
        for (column, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            let _ = match (index, column) {
                (0, _) => write!(html, "<th scope=\"col\">{cell}</th>"),
                (_, 0) => write!(html, "<th scope=\"row\">{cell}</th>"),
                _ => write!(html, "<td>{cell}</td>"),
            };
        }
        html.push_str(if index == 0 { "</tr>\n</thead>\n<tbody>\n" } else { "</tr>\n" });
    }
    let _ = write!(
        html,
        "</tbody>\n</table>\n</div>\n<p class=\"caption\">{}</p>\n</div>\n",
        sentence(&part.caption)
    );
}

fn links(html: &mut String, files: &[(&str, String, String)]) {
    html.push_str("<span class=\"links\">");
    for (label, name, uri) in files {
        let _ = write!(html, " <a download=\"{name}\" href=\"{uri}\">{label}</a>");
    }
    html.push_str("</span>\n");
}

/// A text as part of an address.
fn data_uri(kind: &str, text: &str) -> String {
    let mut uri = format!("data:{kind};charset=utf-8,");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~ ,;:/()=".contains(&byte) && byte != b' ' {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_page() {
        let part = AnalysisPart {
            title: "A part".to_owned(),
            sentences: vec!["**so** it is".to_owned()],
            drawing: None,
            caption: String::new(),
            table: vec![vec!["a,b".to_owned(), "c".to_owned()], vec!["1".to_owned(), "<2>".to_owned()]],
        };
        assert_eq!(part.csv(), "\"a,b\",c\n1,<2>\n");
        let page = AnalysisPage { title: "<t>".to_owned(), parts: vec![part], ..AnalysisPage::default() };
        let html = analysis_page(&page);
        assert!(html.contains("<h1>&lt;t&gt;</h1>") && html.contains("<td>&lt;2&gt;</td>"));
        assert!(html.contains("download=\"a-part.csv\"") && html.contains("%3C2%3E"));
        assert!(!html.contains("http://") && !html.contains("src=\"http"), "nothing is fetched");
    }
}
