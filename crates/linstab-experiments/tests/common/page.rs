//! Reads `report/index.html` as a reader's program would, and holds it against the files beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A page of results.
pub(crate) struct Page {
    pub(crate) html: String,
    out: PathBuf,
}

/// A table as the page shows it.
pub(crate) struct Shown {
    pub(crate) title: String,
    pub(crate) data: String,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Page {
    /// The page of a results folder.
    pub(crate) fn of(out: &Path) -> Self {
        let html = std::fs::read_to_string(out.join("report/index.html")).unwrap();
        Self { html, out: out.to_owned() }
    }

    /// What is true of every page: it stands alone, is well formed, and everything it points at is there.
    pub(crate) fn check(&self) {
        let html = &self.html;
        assert!(html.len() < linstab_report::MAX_BYTES, "{} bytes", html.len());
        let mut ids = BTreeSet::new();
        for id in values(html, " id=\"") {
            assert!(ids.insert(id), "two elements with the identifier {id}");
        }
        for target in values(html, "href=\"#") {
            assert!(ids.contains(target), "nothing has the identifier {target}");
        }
        for attribute in ["aria-labelledby=\"", "aria-describedby=\""] {
            for target in values(html, attribute) {
                assert!(ids.contains(target), "nothing has the identifier {target}");
            }
        }
        for file in values(html, "href=\"../") {
            // The manifest is written last.
            assert!(self.out.join(file).is_file(), "{file} is not there");
        }
        for (at, _) in html.match_indices("http") {
            let is_link = html[..at].ends_with("<a href=\"") || html[at..].starts_with("http-equiv");
            assert!(is_link, "an address that is no link: {}", &html[at.saturating_sub(40)..at + 40]);
        }
        for forbidden in [" src=", "@import", "fetch(", "XMLHttpRequest", "import("] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        let urls = html.match_indices("url(").filter(|(at, _)| !html[at + 4..].starts_with('#'));
        assert_eq!(urls.count(), 0, "only parts of the page itself are referred to");
        assert!(html.contains("default-src 'none'"), "a policy forbids what is not in the page");
        for figure in blocks(html, "<figure class=\"figure\"", "</figure>") {
            assert!(
                figure.contains("<svg class=\"drawing\""),
                "a figure without a drawing: {}",
                &figure[..200]
            );
            let [title, description] = [("<title id=", "</title>"), ("<desc id=", "</desc>")]
                .map(|(from, to)| text_of(blocks(figure, from, to).next().unwrap()));
            assert!(title.len() > 8 && description.len() > 40, "{title}: {description}");
            assert!(figure.contains(".csv\">"), "a figure without data: {title}");
            let path = values(figure, "data-figure=\"").next().unwrap();
            for (path, width) in [(path.to_owned(), 504), (path.replacen('/', "/one-column/", 1), 245)] {
                let svg = std::fs::read_to_string(self.out.join(format!("{path}.svg"))).unwrap();
                assert!(
                    svg.contains(&format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\"")),
                    "{path}"
                );
                assert!(svg.contains("<text ") && !svg.contains("<image"), "vector text, no bitmap: {path}");
            }
        }
    }

    /// The tables of the page.
    pub(crate) fn tables(&self) -> Vec<Shown> {
        let table = |block: &str| Shown {
            title: text_of(blocks(block, "<h3", "</h3>").next().unwrap()),
            data: values(block, "data-table=\"").next().unwrap().to_owned(),
            rows: blocks(block, "<tr>", "</tr>").skip(1).map(cells).collect(),
        };
        blocks(&self.html, "<div class=\"table\"", "</table>").map(table).collect()
    }

    /// Checks that every number in a table of the page is one of its CSV to the digits shown; gives how many numbers these were and
    /// how many would have been noticed with another last digit.
    pub(crate) fn check_numbers(&self) -> (usize, usize) {
        let (mut num_checked, mut num_controlled) = (0, 0);
        for table in self.tables() {
            let numbers = numbers_of(&self.out.join(&table.data));
            let is_there = |value: f64, digit: f64| {
                let above = numbers.partition_point(|x| *x < value - 0.500_001 * digit);
                numbers.get(above).is_some_and(|x| *x <= value + 0.500_001 * digit)
            };
            for cell in table.rows.iter().flat_map(|row| &row[1..]).filter(|cell| !cell.contains('%')) {
                for (value, digit) in cell.split([' ', '/']).filter_map(shown) {
                    assert!(is_there(value, digit), "{}: {cell} is not in {}", table.title, table.data);
                    num_checked += 1;
                    // Three units off; a table with many numbers may hold that one as well.
                    num_controlled += usize::from(!is_there(value + 3.0 * digit, digit));
                }
            }
        }
        (num_checked, num_controlled)
    }
}

/// A number and the size of its last digit.
fn shown(text: &str) -> Option<(f64, f64)> {
    let value: f64 = text.parse().ok().filter(|x: &f64| x.is_finite())?;
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let exponent: i32 = exponent.parse().ok()?;
    Some((value, 10.0_f64.powi(exponent - i32::try_from(decimals).ok()?)))
}

fn numbers_of(csv: &Path) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(csv).unwrap();
    let mut numbers: Vec<f64> = reader
        .records()
        .flat_map(|row| row.unwrap().iter().filter_map(|cell| cell.parse().ok()).collect::<Vec<f64>>())
        .filter(|x| x.is_finite())
        .collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// The pieces of a text from each `from` to the next `to`.
pub(crate) fn blocks<'a>(html: &'a str, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a str> {
    html.match_indices(from).map(move |(at, _)| {
        let rest = &html[at..];
        &rest[..rest.find(to).unwrap()]
    })
}

/// What stands between each `prefix` and the next quotation mark.
pub(crate) fn values<'a>(html: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    html.match_indices(prefix).map(move |(at, _)| html[at + prefix.len()..].split('"').next().unwrap())
}

fn cells(row: &str) -> Vec<String> {
    row.split("<t").skip(2).map(|cell| text_of(&format!("<t{cell}"))).collect()
}

/// The text of a piece of HTML, without marks.
pub(crate) fn text_of(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let entities =
        [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}
