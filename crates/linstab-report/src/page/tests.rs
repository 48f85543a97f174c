//! The page of made-up sections: escaping, subsets, failures, sizes.

use std::collections::BTreeMap;

use super::{MAX_BYTES, Missing, Overview, Record, page};
use crate::drawing::Svg;
use crate::section::{
    Absent, Category, Entry, Figure, Headline, Ledger, Map, Number, Picture, Section, Table,
};

fn picture() -> Picture {
    Picture::new("one", "what there is to see", "one")
}

fn section() -> Section {
    let mut table = Table::new("Numbers & names", &["name", "number"], "one");
    table.name = Some("Table 7".to_owned());
    table.rows.push(vec!["a < b".to_owned(), "0.5".to_owned()]);
    Section {
        title: "A <title>".to_owned(),
        short_title: "Short".to_owned(),
        paper: vec!["Where η < 1.".to_owned()],
        findings: vec!["**Bold** and 98 % <script>alert(1)</script>".to_owned()],
        headline: Some(Headline {
            title: "Headline".to_owned(),
            numbers: vec![Number::new("12 %", "of all")],
            sentence: "In a sentence.".to_owned(),
            picture: picture(),
        }),
        figures: vec![Figure {
            name: Some("Figure 7 (a)".to_owned()),
            title: "Title".to_owned(),
            caption: "Caption".to_owned(),
            picture: picture(),
        }],
        map: Some(Map {
            title: "Map".to_owned(),
            caption: String::new(),
            description: "cells".to_owned(),
            embedded: "report/map.json".to_owned(),
            data: "tables/one.csv".to_owned(),
        }),
        ledger: Some(Ledger {
            title: "Ledger".to_owned(),
            categories: vec![Category {
                name: "holds".to_owned(),
                colour: "#0072b2".to_owned(),
                meaning: "true".to_owned(),
            }],
            entries: vec![Entry {
                id: "eq1".to_owned(),
                category: "holds".to_owned(),
                statement: "lambda < 2 / eta & \"so on\"".to_owned(),
                details: vec![("Evidence".to_owned(), "</dd><img src=x>".to_owned())],
            }],
            data: "tables/one.csv".to_owned(),
        }),
        tables: vec![table],
        absent: vec![Absent { name: "Table 8".to_owned(), why: "No data.".to_owned() }],
    }
}

fn record(id: &str) -> Record {
    let config = serde_json::json!({ "seed": 7, "name": "<b>" });
    Record { id: id.to_owned(), seed: 7, config, section: section() }
}

fn files() -> BTreeMap<String, String> {
    let drawing = Svg::new(100.0, 50.0, "A drawing").render();
    let map = "{\"maps\": [], \"text\": \"</script>\"}".to_owned();
    BTreeMap::from([("figures/one.svg".to_owned(), drawing), ("report/map.json".to_owned(), map)])
}

fn overview() -> Overview {
    Overview { configs: "data/configs".to_owned(), ..Overview::default() }
}

#[test]
fn text_is_escaped_everywhere() {
    let html = page(&overview(), &[record("one")], &files());
    let [head, _] = html.split("<script>\n").collect::<Vec<_>>()[..] else { panic!("one script of ours") };
    for wrong in ["<script>alert", "<title>A", "<img", "a < b", "lambda < 2", "<b>"] {
        assert!(!head.contains(wrong), "{wrong}");
    }
    for right in [
        "A &lt;title&gt;",
        "<strong>Bold</strong> and 98&nbsp;% &lt;script&gt;alert(1)&lt;/script&gt;",
        "<th scope=\"row\">a &lt; b</th><td>0.5</td>",
        "lambda &lt; 2 / eta &amp; &quot;so on&quot;",
        "\\u003c/script>",
    ] {
        assert!(head.contains(right), "{right}");
    }
}

#[test]
fn what_the_paper_names_is_in_the_contents() {
    let html = page(&overview(), &[record("one")], &files());
    for (name, id) in [("Figure 7 (a)", "figure-7-a"), ("Table 7", "table-7"), ("Table 8", "table-8")] {
        assert!(html.contains(&format!("<a href=\"#{id}\">{name}</a>")), "{name} is among the contents");
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "and once in the page");
    }
    assert!(html.contains("Table 8</a> <small>not reproduced</small>"));
}

#[test]
fn any_subset_makes_a_page() {
    let none = page(&overview(), &[], &BTreeMap::new());
    assert!(none.contains("</html>") && !none.contains("id=\"findings\""));
    // The same names twice: identifiers stay apart.
    let two = page(&overview(), &[record("one"), record("two")], &files());
    let ids: Vec<&str> = two.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let figures = ids.iter().filter(|id| id.starts_with("figure-7-a")).count();
    assert_eq!(figures, 6, "two figures, each with a title and a description: {ids:?}");
    let missing = vec![
        Missing { id: "three".to_owned(), error: None },
        Missing { id: "four".to_owned(), error: Some("no space < left".to_owned()) },
    ];
    let some = Overview { quick: true, flags: " --quick".to_owned(), missing, ..overview() };
    let html = page(&some, &[record("one")], &files());
    assert!(
        html.contains("Reduced sizes") && html.contains("four <strong>failed</strong>: no space &lt; left")
    );
    assert!(html.contains("cargo xtask reproduce --only three --quick"));
    assert!(html.contains("<code>data/configs/one.toml</code>"));
    assert!(
        !page(&overview(), &[record("one")], &files()).contains("Reduced sizes"),
        "a full run is not reduced"
    );
}

#[test]
fn what_does_not_fit_is_linked() {
    let large = "0".repeat(MAX_BYTES);
    let mut files = files();
    assert!(page(&overview(), &[record("one")], &files).contains("id=\"map-data\""));
    files.insert("report/map.json".to_owned(), large);
    let html = page(&overview(), &[record("one")], &files);
    assert!(html.len() < MAX_BYTES, "{} bytes", html.len());
    assert!(!html.contains("id=\"map-data\"") && html.contains("would make this page too large"));
    files.remove("figures/one.svg");
    let html = page(&overview(), &[record("one")], &files);
    assert!(html.contains("href=\"../figures/one.svg\">the figure</a>"), "and so is what is not there");
}

#[test]
fn a_section_survives_its_storage() {
    let stored = serde_json::to_string(&section()).unwrap();
    assert_eq!(serde_json::from_str::<Section>(&stored).unwrap(), section());
}
