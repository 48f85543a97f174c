//! `linstab compare` from outside: what moved is said, what did not is not, and what cannot be compared is refused.

use linstab_analysis::files::encode_safetensors;
use linstab_tests::analyze::stdout;
use linstab_tests::browser::{Page, chromium};
use serde_json::Value;

/// Factors without structure, each times a number.
fn factors(num_samples: usize, times: impl Fn(usize) -> f32) -> Vec<f32> {
    let entry = |at: usize| ((at * 37 + 11) as f32 * 0.618).sin();
    (0..num_samples * 12).map(|at| entry(at) * times(at / 12)).collect()
}

#[test]
fn minima_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, num_samples: usize, entries: &[f32]| {
        let path = folder.path().join(name);
        std::fs::write(&path, encode_safetensors(&[("factors", &[num_samples, 12], entries)])).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain.safetensors", 60, &factors(60, |_| 1.0));
    let flat = file("flat.safetensors", 60, &factors(60, |_| 0.5));
    let same = file("same.safetensors", 60, &factors(60, |_| 1.0));
    let few = file("few.safetensors", 30, &factors(30, |_| 1.0));
    let text = stdout(&["compare", &plain, &flat, &same, "--batch-size", "1,8"]);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("flatter (sharpness 75.0 +- 0.0 % lower); more stable at 4 of 4 settings"),
        "{text}"
    );
    assert!(words.contains("as sharp; no threshold differs by more than chance"), "{text}");
    let report: Value =
        serde_json::from_str(&stdout(&["compare", &plain, &flat, "--batch-size", "1", "--format", "json"]))
            .unwrap();
    let row = &report["thresholds"][0];
    let analysed: Value =
        serde_json::from_str(&stdout(&["analyze", &plain, "--batch-size", "1", "--format", "json"])).unwrap();
    let rate = |value: &Value| value.as_f64().unwrap();
    let (own, of_analyze) =
        (rate(&row["max_learning_rates"][0]), rate(&analysed["stability"][0]["max_learning_rate"]));
    assert!((own - of_analyze).abs() <= 1e-5 * own, "{own} {of_analyze}");
    assert!((rate(&row["log_ratios"][1]) - 4.0_f64.ln()).abs() < 1e-5, "{row}");
    refused_without_quiet(&["compare", &plain, &few], "the same samples and factors as");
    refused_without_quiet(&["compare", &plain], "2 values required");
    refused_without_quiet(&["compare", &plain, "missing.npy"], "missing.npy");
}

#[test]
fn the_page_of_minima_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = |name: &str, num_samples: usize, times: f32| {
        let entries = factors(num_samples, |i| if i % 3 == 0 { times } else { 1.0 });
        std::fs::write(path(name), encode_safetensors(&[("factors", &[num_samples, 12], &entries)])).unwrap();
        path(name)
    };
    let steps = [1.0, 1.2, 1.5].map(|times| file(&format!("step-{times}.safetensors"), 60, times));
    let few = file("few.safetensors", 30, 1.0);
    let page = path("page.html");
    let base = ["compare", &steps[0], &steps[1], &steps[2], "--batch-size", "1,8", "--report", &page];
    let report: Value = serde_json::from_str(&stdout(&[&base[..], &["--format", "json"]].concat())).unwrap();
    let edge =
        report["diagnostics"].as_array().unwrap().iter().find(|row| row["name"] == "sharpness").unwrap();
    let minimum = &report["minima"][2];
    assert_eq!(
        (&edge["values"][2], minimum["name"].as_str()),
        (&minimum["sharpness"], Some("step-1.5.safetensors"))
    );
    let mut browser = Page::start(&chromium());
    browser.emulate("light", (1280, 900));
    browser.open(folder.path().join("page.html").as_path());
    browser.wait_for("document.documentElement.dataset.ready === 'true'");
    let drawn = browser.evaluate(
        "[...document.querySelectorAll('figure.figure svg')].filter((svg) => svg.getBoundingClientRect().height > 50 && \
         svg.querySelectorAll('path, polyline, circle').length > 2).length",
    );
    assert_eq!(drawn.as_i64(), Some(3), "what moved, thresholds and diagnostics over the sequence");
    // The curve of SGD at batches of one is the thresholds of the JSON.
    let points = browser.evaluate(
        "document.querySelector('#thresholds-over-the-sequence g.series[data-series=\"SGD, B = 1\"]').dataset.xy",
    );
    let shown: Vec<f64> =
        points.as_str().unwrap().split([' ', ',']).map(|number| number.parse().unwrap()).collect();
    for (at, pair) in shown.chunks(2).enumerate() {
        let rate = report["thresholds"][0]["max_learning_rates"][at].as_f64().unwrap();
        assert!((pair[1] - rate).abs() < 1e-3 * rate, "{pair:?}, {rate}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // Bad input leaves no page, and none replaces what is read.
    let other = path("other.html");
    refused_without_quiet(
        &["compare", &steps[0], &few, "--report", &other],
        "the same samples and factors as",
    );
    refused_without_quiet(&["compare", &steps[0], &few, "--report", &few], "a file that is not read");
    assert!(!std::fs::exists(&other).unwrap());
}

/// `compare` says nothing beside its answer, so it has no `--quiet`.
fn refused_without_quiet(arguments: &[&str], expected: &str) {
    let run = linstab_tests::output(linstab_tests::linstab(arguments));
    let message = linstab_tests::stderr(&run);
    assert!(!run.status.success() && message.contains(expected), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(run.stdout.is_empty(), "nothing is said on standard output");
}
