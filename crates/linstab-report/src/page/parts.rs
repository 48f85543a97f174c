//! Figures, tables, the map and the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::html::{escape, json, sentence, slug};
use super::inline::inline;
use crate::section::{Entry, Figure, Ledger, Map, Picture, Table};

/// Writes parts of the page, which share its identifiers and its room.
pub(super) struct Parts<'a> {
    files: &'a BTreeMap<String, String>,
    /// Bytes that may still be embedded.
    room: usize,
    ids: BTreeSet<String>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(files: &'a BTreeMap<String, String>, room: usize) -> Self {
        Self { files, room, ids: BTreeSet::new() }
    }

    /// A file to embed, if there is room for it.
    fn embedded(&mut self, path: &str) -> Option<&'a str> {
        let text = self.files.get(path).filter(|text| text.len() <= self.room)?;
        self.room -= text.len();
        Some(text)
    }

    /// An identifier nothing else has.
    fn id(&mut self, wanted: &str) -> String {
        let mut id = wanted.to_owned();
        let mut count = 1;
        while !self.ids.insert(id.clone()) {
            count += 1;
            id = format!("{wanted}-{count}");
        }
        id
    }

    /// A drawing as part of the page.
    pub(super) fn picture(&mut self, html: &mut String, picture: &Picture, id: &str) {
        let id = self.id(id);
        let svg = self.embedded(&format!("{}.svg", picture.path));
        let drawing = svg.and_then(|svg| inline(svg, &id, &picture.description));
        let drawing = drawing.unwrap_or_else(|| {
            let (path, description) = (escape(&picture.path), escape(&picture.description));
            format!("<p class=\"left-out\">{description} (<a href=\"../{path}.svg\">the figure</a>, apart for its size)</p>\n")
        });
        let _ = write!(html, "<div class=\"plot\">\n{drawing}</div>\n");
    }

    pub(super) fn figure(&mut self, html: &mut String, section: &str, figure: &Figure) {
        let id = figure
            .name
            .as_ref()
            .map_or_else(|| format!("{section}-{}", slug(&figure.title)), |name| slug(name));
        let id = self.id(&id);
        let path = escape(&figure.picture.path);
        let _ = writeln!(html, "<figure class=\"figure\" id=\"{id}\" data-figure=\"{path}\">");
        heading(html, figure.name.as_deref(), &figure.title);
        self.picture(html, &figure.picture, &format!("{id}-drawing"));
        let _ = writeln!(html, "<figcaption>{}", sentence(&figure.caption));
        let data = escape(&figure.picture.data);
        let one = escape(&figure.picture.one_column());
        let drawings = [
            ("SVG", &path, "svg"),
            ("PNG", &path, "png"),
            ("one column: SVG", &one, "svg"),
            ("PNG", &one, "png"),
        ];
        let mut files = vec![("data (CSV)", data)];
        files.extend(drawings.map(|(label, path, ending)| (label, format!("{path}.{ending}"))));
        links(html, &files);
        html.push_str("</figcaption>\n</figure>\n");
    }

    pub(super) fn table(&mut self, html: &mut String, section: &str, table: &Table) {
        let id = table
            .name
            .as_ref()
            .map_or_else(|| format!("{section}-{}", slug(&table.title)), |name| slug(name));
        let id = self.id(&id);
        let _ = writeln!(html, "<div class=\"table\" id=\"{id}\" data-table=\"{}\">", escape(&table.data));
        heading(html, table.name.as_deref(), &table.title);
        let title = escape(&table.title);
        let _ = writeln!(
            html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n<table>\n<thead>\n<tr>"
        );
        for column in &table.columns {
            let _ = writeln!(html, "<th scope=\"col\">{}</th>", escape(column));
        }
        html.push_str("</tr>\n</thead>\n<tbody>\n");
        for row in &table.rows {
            html.push_str("<tr>");
            for (index, cell) in row.iter().enumerate() {
                let cell = escape(cell);
                let _ = if index == 0 {
                    write!(html, "<th scope=\"row\">{cell}</th>")
                } else {
                    write!(html, "<td>{cell}</td>")
                };
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n</div>\n");
        let _ = writeln!(html, "<p class=\"caption\">{}", sentence(&table.note));
        links(html, &[("all digits (CSV)", escape(&table.data))]);
        html.push_str("</p>\n</div>\n");
    }

    /// The place of the map, and its data; the script draws it.
    pub(super) fn map(&mut self, html: &mut String, map: &Map) {
        let Some(data) = self.embedded(&map.embedded) else {
            let _ = writeln!(
                html,
                "<p class=\"left-out\">The map to explore is left out: its data ({}) would make this page too large.</p>",
                escape(&map.embedded)
            );
            return;
        };
        let (title, caption) = (escape(&map.title), sentence(&map.caption));
        let _ = write!(
            html,
            "<figure class=\"figure explorer\" id=\"map-explorer\">\n<h3>{title}</h3>\n\
             <form id=\"map-choices\" class=\"choices\" aria-label=\"Which map\"></form>\n\
             <div class=\"explorer-body\">\n\
             <div id=\"map\" tabindex=\"0\" role=\"application\" aria-roledescription=\"map\" aria-label=\"{}\" \
             aria-describedby=\"map-readout\"><noscript><p>The map to explore needs a script; the figures below do not.</p></noscript></div>\n\
             <div class=\"readout\">\n<div id=\"map-readout\" aria-live=\"polite\"></div>\n</div>\n</div>\n\
             <figcaption>{caption}\n",
            escape(&map.description),
        );
        links(html, &[("data (CSV)", escape(&map.data))]);
        let _ = write!(
            html,
            "</figcaption>\n<script type=\"application/json\" id=\"map-data\">{}</script>\n</figure>\n",
            json(data)
        );
    }
}

/// A list to filter.
pub(super) fn ledger(html: &mut String, section: &str, ledger: &Ledger) {
    let title = escape(&ledger.title);
    let _ = write!(
        html,
        "<div class=\"ledger\" id=\"{section}-ledger\">\n<h3>{title}</h3>\n\
         <form class=\"filter\" id=\"{section}-filter\" role=\"search\" aria-label=\"{title}\">\n\
         <label class=\"search\">Search <input type=\"search\" name=\"text\" autocomplete=\"off\" \
         placeholder=\"number or words\"></label>\n<fieldset><legend>Verdict</legend>\n"
    );
    for category in &ledger.categories {
        let (name, meaning) = (escape(&category.name), escape(&category.meaning));
        let count = ledger.entries.iter().filter(|entry| entry.category == category.name).count();
        let _ = writeln!(
            html,
            "<label class=\"chip\" style=\"--chip:{}\" title=\"{meaning}\"><input type=\"checkbox\" name=\"category\" \
             value=\"{name}\" checked> {name} <span class=\"count\">{count}</span></label>",
            escape(&category.colour),
        );
    }
    let all = ledger.entries.len();
    let _ = write!(
        html,
        "</fieldset>\n<p class=\"shown\" role=\"status\"><output>{all}</output> of {all} shown</p>\n</form>\n<ol class=\"entries\">\n"
    );
    for each in &ledger.entries {
        entry(html, ledger, each);
    }
    html.push_str("</ol>\n<p class=\"caption\">");
    links(html, &[("data (CSV)", escape(&ledger.data))]);
    html.push_str("</p>\n</div>\n");
}

fn entry(html: &mut String, ledger: &Ledger, entry: &Entry) {
    let colour = ledger.categories.iter().find(|category| category.name == entry.category);
    let colour = colour.map_or("currentColor", |category| &category.colour);
    let category = escape(&entry.category);
    let _ = write!(
        html,
        "<li class=\"entry\" data-category=\"{category}\"><details><summary><span class=\"number\">{}</span>\
         <span class=\"statement\">{}</span><span class=\"verdict\" style=\"--chip:{}\">{category}</span></summary>\n<dl>",
        escape(&entry.id),
        escape(&entry.statement),
        escape(colour),
    );
    for (name, text) in &entry.details {
        let class = if name == "Command" { " class=\"command\"" } else { "" };
        let text = escape(text);
        let text = if class.is_empty() { text } else { format!("<code{class}>{text}</code>") };
        let _ = write!(html, "<dt>{}</dt><dd>{text}</dd>", escape(name));
    }
    html.push_str("</dl></details></li>\n");
}

fn heading(html: &mut String, name: Option<&str>, title: &str) {
    let name = name.map_or(String::new(), |name| format!("<span class=\"name\">{}</span> ", escape(name)));
    let _ = writeln!(html, "<h3>{name}{}</h3>", escape(title));
}

/// Links to files of the results folder; the paths are escaped.
fn links(html: &mut String, files: &[(&str, String)]) {
    let links: Vec<String> =
        files.iter().map(|(label, path)| format!("<a href=\"../{path}\">{label}</a>")).collect();
    let _ = writeln!(html, "<span class=\"links\">{}</span>", links.join(" "));
}
