//! The document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::html::{escape, sentence, slug};
use super::overview::{MAX_BYTES, Overview, Record};
use super::parts::{self, Parts};
use crate::section::{Headline, Section};

pub(super) const STYLE: &str = include_str!("assets/style.css");
pub(super) const SCRIPT: &str = concat!(
    include_str!("assets/page.js"),
    include_str!("assets/charts.js"),
    include_str!("assets/map.js"),
    include_str!("assets/ledger.js"),
    include_str!("assets/ready.js"),
);
/// Nothing from anywhere: what is not in the page is not asked for.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
const TITLE: &str = "Will this minimum hold?";
const SUBTITLE: &str = "The paper <cite>A Unified Stability Analysis of SAM vs SGD</cite> (arXiv 2511.17378), recomputed: \
    its figures and Table 1 beside the exact thresholds, its statements judged one by one.";

/// Room for what is no embedded file: style, script, words and tables take some 300 kB with all experiments.
const MARKUP_BYTES: usize = 600_000;

/// The page of these experiments, in this order. `files` holds the files that the sections embed, by path; what is not there, or does not
/// fit, is linked.
pub fn page(overview: &Overview, records: &[Record], files: &BTreeMap<String, String>) -> String {
    let mut html = head();
    top(&mut html, overview, records);
    let mut parts = Parts::new(files, MAX_BYTES - MARKUP_BYTES);
    html.push_str("<main id=\"content\">\n");
    headlines(&mut html, records, &mut parts);
    for record in records {
        section(&mut html, overview, record, &mut parts);
    }
    missing(&mut html, overview);
    html.push_str("</main>\n</div>\n");
    footer(&mut html, overview);
    let _ = write!(html, "<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

fn head() -> String {
    let palette = crate::drawing::colour::stylesheet();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{TITLE} SAM and SGD, recomputed</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}{palette}</style>\n</head>\n"
    )
}

/// The part above the first screen's findings, and the contents.
fn top(html: &mut String, overview: &Overview, records: &[Record]) {
    let reduced = if overview.quick {
        "<p class=\"reduced\"><strong>Reduced sizes.</strong> This run was made with <code>--quick</code>: fewer cells, runs and \
         epochs. Its numbers are rough, and not those of the full run.</p>\n"
    } else {
        ""
    };
    let _ = write!(
        html,
        "<body>\n<a class=\"skip\" href=\"#content\">Skip to the findings</a>\n\
         <header class=\"top\">\n<div>\n<h1>{TITLE}</h1>\n<p class=\"lead\">{SUBTITLE}</p>\n</div>\n\
         <button id=\"theme\" type=\"button\" aria-label=\"Dark or light\" title=\"Dark or light\"></button>\n\
         </header>\n{reduced}<div class=\"columns\">\n"
    );
    contents(html, records);
}

/// Every section, and everything that the paper has a name for.
fn contents(html: &mut String, records: &[Record]) {
    html.push_str(
        "<nav class=\"contents\" aria-label=\"Contents\">\n<details open>\n<summary>Contents</summary>\n<ol>\n",
    );
    if records.iter().any(|record| record.section.headline.is_some()) {
        html.push_str("<li><a href=\"#findings\">What matters most</a></li>\n");
    }
    for record in records {
        let title = escape(&record.section.short_title);
        let _ = writeln!(html, "<li><a href=\"#{}\">{title}</a></li>", slug(&record.id));
    }
    html.push_str("</ol>\n");
    // In the order of names: the figures, then the tables.
    let named: BTreeSet<&str> = records.iter().flat_map(|record| record.section.names()).collect();
    if !named.is_empty() {
        html.push_str("<p>In the paper</p>\n<ul>\n");
        let absent: BTreeSet<&str> = records
            .iter()
            .flat_map(|record| record.section.absent.iter().map(|absent| absent.name.as_str()))
            .collect();
        for name in named {
            let note = if absent.contains(name) { " <small>not reproduced</small>" } else { "" };
            let _ = writeln!(html, "<li><a href=\"#{}\">{}</a>{note}</li>", slug(name), escape(name));
        }
        html.push_str("</ul>\n");
    }
    html.push_str("</details>\n</nav>\n");
}

fn headlines(html: &mut String, records: &[Record], parts: &mut Parts<'_>) {
    let with: Vec<(&Record, &Headline)> =
        records.iter().filter_map(|record| Some((record, record.section.headline.as_ref()?))).collect();
    if with.is_empty() {
        return;
    }
    html.push_str("<section id=\"findings\" class=\"findings\" aria-label=\"What matters most\">\n");
    for (record, headline) in with {
        let id = slug(&record.id);
        let title = escape(&headline.title);
        let _ = writeln!(
            html,
            "<article class=\"finding\" id=\"finding-{id}\">\n<h2><a href=\"#{id}\">{title}</a></h2>"
        );
        html.push_str("<dl class=\"numbers\">\n");
        for number in &headline.numbers {
            let (value, label) = (escape(&number.value), escape(&number.label));
            let _ = writeln!(html, "<div><dt>{label}</dt><dd>{value}</dd></div>");
        }
        let _ = write!(html, "</dl>\n<p>{}</p>\n", sentence(&headline.sentence));
        parts.picture(html, &headline.picture, &format!("finding-{id}-picture"));
        html.push_str("</article>\n");
    }
    html.push_str("</section>\n");
}

fn section(html: &mut String, overview: &Overview, record: &Record, parts: &mut Parts<'_>) {
    let Record { id, section, .. } = record;
    let (id, title) = (slug(id), escape(&section.title));
    let _ = writeln!(
        html,
        "<section id=\"{id}\" class=\"experiment\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{title}</h2>"
    );
    html.push_str("<div class=\"pair\">\n");
    for (class, heading, paragraphs) in
        [("paper", "What the paper shows", &section.paper), ("ours", "What we find", &section.findings)]
    {
        let _ = writeln!(html, "<div class=\"{class}\">\n<h3>{heading}</h3>");
        for paragraph in paragraphs {
            let _ = writeln!(html, "<p>{}</p>", sentence(paragraph));
        }
        html.push_str("</div>\n");
    }
    html.push_str("</div>\n");
    items(html, &id, section, parts);
    again(html, overview, record);
    html.push_str("</section>\n");
}

fn items(html: &mut String, id: &str, section: &Section, parts: &mut Parts<'_>) {
    if let Some(map) = &section.map {
        parts.map(html, map);
    }
    for figure in &section.figures {
        parts.figure(html, id, figure);
    }
    if let Some(ledger) = &section.ledger {
        parts::ledger(html, id, ledger);
    }
    for table in &section.tables {
        parts.table(html, id, table);
    }
    for absent in &section.absent {
        let (name, why) = (escape(&absent.name), sentence(&absent.why));
        let _ = writeln!(
            html,
            "<div class=\"absent\" id=\"{}\"><h3>{name}: not reproduced</h3><p>{why}</p></div>",
            slug(&absent.name)
        );
    }
}

/// How to get a section's numbers again.
fn again(html: &mut String, overview: &Overview, record: &Record) {
    let Overview { flags, configs, .. } = overview;
    let of_a_file =
        std::path::Path::new(configs).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    let (command, path) = if of_a_file {
        (format!("cargo run --release -p linstab-cli -- map {configs}{flags}"), configs.clone())
    } else {
        (
            format!("cargo xtask reproduce --only {}{flags}", record.id),
            format!("{}/{}.toml", configs.trim_end_matches('/'), record.id),
        )
    };
    let config = serde_json::to_string_pretty(&record.config).unwrap_or_default();
    let _ = write!(
        html,
        "<div class=\"again\">\n<p><span class=\"tag\">Again</span> <code class=\"command\">{}</code></p>\n\
         <p><span class=\"tag\">Seed</span> <code>{}</code></p>\n\
         <details><summary><span class=\"tag\">Configuration</span> <code>{}</code></summary><pre>{}</pre></details>\n</div>\n",
        escape(&command),
        record.seed,
        escape(&path),
        escape(&config),
    );
}

fn missing(html: &mut String, overview: &Overview) {
    if overview.missing.is_empty() {
        return;
    }
    html.push_str("<section class=\"missing\" id=\"missing\"><h2>Not in this run</h2>\n<ul>\n");
    for experiment in &overview.missing {
        let (id, flags) = (escape(&experiment.id), escape(&overview.flags));
        let why = experiment.error.as_ref().map_or(String::new(), |error| format!(": {}", escape(error)));
        let failed = if experiment.error.is_some() { " <strong>failed</strong>" } else { "" };
        let _ = writeln!(
            html,
            "<li>{id}{failed}{why} <code class=\"command\">cargo xtask reproduce --only {id}{flags}</code></li>"
        );
    }
    html.push_str("</ul>\n</section>\n");
}

fn footer(html: &mut String, overview: &Overview) {
    let revision = if overview.revision.is_empty() {
        String::new()
    } else {
        format!(", revision <code>{}</code>", escape(&overview.revision))
    };
    let _ = write!(
        html,
        "<footer>\n<p>Written by <code>linstab</code> {}{revision}. Every number on this page comes from the tables beside it; \
         <a href=\"../manifest.json\">manifest.json</a> has configurations, seeds and the hash of each file.</p>\n\
         <p>The theory is that of arXiv 2511.17378; the exact mean-square threshold that of Mulayoff and Michaeli (COLT 2024).</p>\n</footer>\n",
        env!("CARGO_PKG_VERSION"),
    );
}
