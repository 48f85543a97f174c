//! The report in a real browser: it loads in silence, what it shows is drawn, and looking closer works.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use linstab_tests::browser::{Page, chromium};
use linstab_tests::{linstab, output, root, stderr};
use serde_json::json;

const DESKTOP: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (360, 780);

/// Results with a report, of reduced sizes, made once.
fn results() -> &'static Path {
    static RESULTS: OnceLock<tempfile::TempDir> = OnceLock::new();
    RESULTS
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("results");
            let run = output(linstab(&["reproduce", "--quick", "--out", out.to_str().unwrap()]));
            assert!(run.status.success(), "{}", stderr(&run));
            folder
        })
        .path()
}

fn open(program: &Path, scheme: &str, size: (u32, u32)) -> Page {
    let mut page = Page::start(program);
    page.emulate(scheme, size);
    page.open(&results().join("results/report/index.html"));
    page.wait_for("document.documentElement.dataset.ready === 'true'");
    page
}

/// Where a person finds the pictures afterwards.
fn save(name: &str, bytes: &[u8]) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("report-screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

fn text(page: &mut Page, expression: &str) -> String {
    page.evaluate(expression).as_str().unwrap_or_else(|| panic!("`{expression}` is a text")).to_owned()
}

fn count(page: &mut Page, expression: &str) -> i64 {
    page.evaluate(expression).as_i64().unwrap_or_else(|| panic!("`{expression}` is a number"))
}

#[test]
fn what_a_page_must_not_do_is_noticed() {
    let program = chromium();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.html");
    let bad = "<!doctype html><title>bad</title><img src='http://127.0.0.1:9/picture.png'>\
               <script>console.error('an error'); setTimeout(() => { throw new Error('a throw'); });</script>";
    std::fs::write(&file, bad).unwrap();
    let mut page = Page::start(&program);
    page.open(&file);
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))");
    let complaints = page.complaints().join("\n");
    for expected in ["request: http://127.0.0.1:9/picture.png", "console: ", "exception: ", "a throw"] {
        assert!(complaints.contains(expected), "{expected} in {complaints}");
    }
}

#[test]
fn the_page_is_silent_and_everything_is_drawn() {
    let program = chromium();
    let mut page = open(&program, "light", DESKTOP);
    // A figure is as large as a person can read, and holds shapes that cover some of it.
    let drawn = "[...document.querySelectorAll('figure.figure')].map((figure) => { \
        const svg = figure.querySelector('svg'); \
        if (!svg) return [figure.id, figure.querySelector('.left-out') ? 1e6 : 0, 1e6]; \
        const box = svg.getBoundingClientRect(); \
        const shapes = [...svg.querySelectorAll('path, rect, circle, polyline, polygon')] \
            .filter((shape) => { const b = shape.getBoundingClientRect(); return b.width + b.height > 0; }); \
        return [figure.id, box.width * box.height, shapes.length]; })";
    let figures = page.evaluate(drawn);
    assert!(figures.as_array().unwrap().len() >= 15, "{figures}");
    for figure in figures.as_array().unwrap() {
        assert!(figure[1].as_f64().unwrap() > 2e4 && figure[2].as_i64().unwrap() >= 5, "{figure}");
    }
    // What the paper calls them.
    let contents = text(&mut page, "document.querySelector('nav').textContent");
    let headings = text(&mut page, "document.querySelector('main').textContent");
    for name in [
        "Figure 1 (a)",
        "Figure 1 (b)",
        "Figure 1 (c)",
        "Figure 1 (d)",
        "Figure 2",
        "Figure 3",
        "Figure 4",
        "Table 1",
    ] {
        assert!(contents.contains(name) && headings.contains(name), "{name} is found by its name");
    }
    let dangling = "[...document.querySelectorAll('a[href^=\"#\"]')] \
        .filter((link) => !document.getElementById(link.hash.slice(1))).map((link) => link.hash)";
    assert_eq!(page.evaluate(dangling), json!([]), "links within the page lead somewhere");
    let links = page.evaluate("[...document.querySelectorAll('a')].map((a) => a.getAttribute('href')).filter((h) => h.startsWith('../'))");
    for link in links.as_array().unwrap() {
        let file = results().join("results/report").join(link.as_str().unwrap());
        assert!(file.is_file(), "{link} is a file of the results");
    }
    assert_eq!(page.complaints(), Vec::<String>::new());
}

/// The row of the table for the cell that is looked at, on the map that is chosen.
fn row_of_cell(page: &mut Page) -> BTreeMap<String, String> {
    let chosen = page.evaluate(
        "[...['optimizer', 'sampling', 'learning rate η', 'ρ/α'].map((name) => \
            document.querySelector(`#map-choices [data-choice='${name}'] input:checked`).value), \
          document.getElementById('map').dataset.x, document.getElementById('map').dataset.y]",
    );
    let chosen: Vec<String> = serde_json::from_value(chosen).unwrap();
    let columns = ["optimizer", "sampling", "learning_rate", "rho_over_alpha", "batch_size", "sigma"];
    let same = |chosen: &str, cell: &str| match (chosen.parse::<f64>(), cell.parse::<f64>()) {
        (Ok(chosen), Ok(cell)) => chosen.to_bits() == cell.to_bits(),
        (Err(_), Ok(cell)) => chosen == "none" && cell == 0.0,
        _ => chosen.to_lowercase().replace(' ', "-") == cell,
    };
    csv::Reader::from_path(results().join("results/tables/stability-map.csv"))
        .unwrap()
        .deserialize()
        .map(|row| -> BTreeMap<String, String> { row.unwrap() })
        .find(|row| columns.iter().zip(&chosen).all(|(column, chosen)| same(chosen, &row[*column])))
        .unwrap_or_else(|| panic!("no row for {chosen:?}"))
}

#[test]
fn the_map_is_explored_with_mouse_and_keys() {
    let program = chromium();
    let mut page = open(&program, "light", DESKTOP);
    let cell = "document.getElementById('map').dataset.x + ' ' + document.getElementById('map').dataset.y";
    page.hover("#map svg", (0.2, 0.2));
    let first = text(&mut page, cell);
    page.hover("#map svg", (-0.25, -0.2));
    let second = text(&mut page, cell);
    assert_ne!(first, second, "hovering looks at another cell");
    let row = row_of_cell(&mut page);
    let readout = text(&mut page, "document.getElementById('map-readout').textContent");
    let outcome = format!("{} of {} runs diverged", row["num_diverged"], row["num_repetitions"]);
    assert!(readout.contains(&outcome), "`{outcome}` in `{readout}`");
    let verdicts = text(&mut page, "document.getElementById('map').dataset.verdicts");
    assert_eq!(verdicts.split(' ').count(), 4, "four verdicts: {verdicts}");
    page.evaluate("document.getElementById('map').focus()");
    page.press("ArrowRight");
    assert_ne!(text(&mut page, cell), second, "the arrow keys move");

    let shown = "document.querySelectorAll('#map polyline.curve').length";
    let before = count(&mut page, shown);
    page.click("#map-readout input[data-boundary]");
    assert!(count(&mut page, shown) < before, "a boundary can be hidden");
    let map = text(&mut page, "document.getElementById('map').dataset.map");
    page.click("#map-choices fieldset label:nth-of-type(2)");
    assert_ne!(text(&mut page, "document.getElementById('map').dataset.map"), map, "another map is chosen");
    save("map.png", &page.screenshot());
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn claims_are_filtered_and_opened() {
    let program = chromium();
    let mut page = open(&program, "light", DESKTOP);
    let shown =
        "[...document.querySelectorAll('#claims-ledger .entry')].filter((entry) => !entry.hidden).length";
    let all = count(&mut page, shown);
    assert!(all > 100, "the whole ledger is there: {all}");
    page.click("#claims-filter input[type=search]");
    page.insert_text("eq39");
    let few = count(&mut page, shown);
    assert!(0 < few && few < all / 4, "filtered to {few} of {all}");
    page.click("#claims-ledger .entry:not([hidden]) summary");
    let open = text(
        &mut page,
        "document.querySelector('#claims-ledger .entry:not([hidden]) details[open]').textContent",
    );
    assert!(open.contains("--only claims"), "an entry says how to recompute it: {open}");
    save("claims.png", &page.screenshot());
    page.evaluate("document.querySelector('#claims-filter').reset()");
    page.wait_for(&format!("{shown} === {all}"));
    page.click("#claims-filter .chip");
    let without = count(&mut page, shown);
    assert!(without < all, "a verdict can be left out: {without}");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn curves_are_zoomed_and_toggled() {
    let program = chromium();
    let mut page = open(&program, "light", DESKTOP);
    let figure = "[data-figure='figures/figure-2']";
    assert_eq!(page.evaluate(&format!("document.querySelectorAll(\"{figure}\").length")), json!(1));
    let line = format!("document.querySelector(\"{figure} .series polyline\").getAttribute('points')");
    let before = text(&mut page, &line);
    page.click(&format!("{figure} button[aria-label='Zoom in']"));
    assert_ne!(text(&mut page, &line), before, "zooming moves the curves");
    page.click(&format!("{figure} button.reset"));
    assert_eq!(text(&mut page, &line), before, "and resetting puts them back");
    let off = format!("document.querySelectorAll(\"{figure} .series.off\").length");
    page.click(&format!("{figure} button.toggle"));
    assert!(count(&mut page, &off) > 0, "a series can be hidden");
    save("curves.png", &page.screenshot());
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn dark_narrow_and_on_paper() {
    let program = chromium();
    for (name, scheme, size) in [
        ("light", "light", DESKTOP),
        ("dark", "dark", DESKTOP),
        ("phone", "light", PHONE),
        ("phone-dark", "dark", PHONE),
    ] {
        let mut page = open(&program, scheme, size);
        let ground = text(&mut page, "getComputedStyle(document.body).backgroundColor");
        let brightness: f64 = ground
            .trim_start_matches(|c: char| !c.is_ascii_digit())
            .split(|c: char| !c.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .take(3)
            .map(|part| part.parse::<f64>().unwrap())
            .sum();
        assert_eq!(brightness > 382.0, scheme == "light", "{name}: {ground}");
        let overflow = count(&mut page, "document.documentElement.scrollWidth - innerWidth");
        assert!(overflow <= 0, "{name}: nothing is wider than the window, {overflow}");
        save(&format!("{name}.png"), &page.screenshot());
        if name == "light" {
            let printed = page.print();
            assert!(printed.starts_with(b"%PDF") && printed.len() > 100_000, "{} bytes", printed.len());
            save("print.pdf", &printed);
        }
        assert_eq!(page.complaints(), Vec::<String>::new(), "{name}");
    }
}
