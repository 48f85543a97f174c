//! The page of an analysis in a real browser: silent, drawn, as wide as a phone, and with the numbers of the JSON.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::PathBuf;

use linstab_tests::analyze::{EXAMPLE, refused, stdout};
use linstab_tests::browser::{Page, chromium};
use linstab_tests::root;
use serde_json::Value;

const ARGUMENTS: [&str; 8] =
    ["analyze", EXAMPLE, "--optimizer", "sgd", "--optimizer", "sgd:momentum=0.9", "--learning-rate", "0.05"];

/// Where a person finds the pictures afterwards.
fn save(name: &str, bytes: &[u8]) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("report-screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn the_page_of_an_analysis_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let name = file.to_str().unwrap();
    let json = stdout(&[&ARGUMENTS[..], &["--report", name, "--format", "json"]].concat());
    let report: Value = serde_json::from_str(&json).unwrap();
    let length = std::fs::metadata(&file).unwrap().len();
    assert!(length < 8_000_000, "{length} bytes");
    let program = chromium();
    for (name, scheme, size) in [
        ("analysis-day.png", "light", (1280, 900)),
        ("analysis-night.png", "dark", (1280, 900)),
        ("analysis-phone.png", "light", (360, 780)),
    ] {
        let mut page = Page::start(&program);
        page.emulate(scheme, size);
        page.open(&file);
        page.wait_for("document.documentElement.dataset.ready === 'true'");
        let drawn = page.evaluate(
            "[...document.querySelectorAll('figure.figure svg')].filter((svg) => svg.getBoundingClientRect().height > 50 && \
             svg.querySelectorAll('path, polyline, circle').length > 2).length",
        );
        assert_eq!(drawn.as_i64(), Some(6), "thresholds, ratios, limits, samples, coherence, spectrum");
        let wide = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth");
        assert_eq!(wide, true, "{name}: nothing is wider than the screen");
        // The points of the first curve are the thresholds of the JSON.
        let points = page.evaluate(
            "document.querySelector('#thresholds-over-the-batch-size g.series[data-series=\"SGD\"]:not([data-xy=\"\"])').dataset.xy",
        );
        let points = points.as_str().unwrap().to_owned();
        let line = &report["stability"][0];
        let rate = line["max_learning_rate"].as_f64().unwrap();
        let shown: Vec<f64> = points.split([' ', ',']).filter_map(|number| number.parse().ok()).collect();
        assert!(shown.iter().any(|x| (x - rate).abs() < 1e-3 * rate), "{rate} in {points}");
        save(name, &page.screenshot());
        assert_eq!(page.complaints(), Vec::<String>::new());
        if size.0 > 1000 {
            assert!(page.print().len() > 10_000, "it prints");
        }
    }
}

#[test]
fn drawings_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, start) in [("curve.svg", &b"<svg"[..]), ("curve.png", &b"\x89PNG"[..])] {
        stdout(&[&ARGUMENTS[..], &["--plot", &path(name)]].concat());
        assert!(std::fs::read(path(name)).unwrap().starts_with(start), "{name}");
    }
    refused(&[&ARGUMENTS[..], &["--plot", &path("curve.gif")]].concat(), 2, "ending in .svg or .png");
    assert!(!std::fs::exists(path("curve.gif")).unwrap());
    // Nothing that is read is replaced.
    let copy = path("factors.safetensors");
    std::fs::copy(root().join(EXAMPLE), &copy).unwrap();
    refused(&["analyze", &copy, "--report", &copy], 2, "--report");
    assert_eq!(
        std::fs::read(&copy).unwrap(),
        std::fs::read(root().join(EXAMPLE)).unwrap(),
        "it is as it was"
    );
}
