//! `linstab compare` from outside: what moved is said, what did not is not, and what cannot be compared is refused.

use linstab_analysis::files::encode_safetensors;
use linstab_tests::analyze::stdout;
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
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("flatter (sharpness 75.0 % lower); more stable at 4 of 4 settings"), "{text}");
    assert!(lines[1].contains("as sharp; no threshold differs by more than chance"), "{text}");
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

/// `compare` says nothing beside its answer, so it has no `--quiet`.
fn refused_without_quiet(arguments: &[&str], expected: &str) {
    let run = linstab_tests::output(linstab_tests::linstab(arguments));
    let message = linstab_tests::stderr(&run);
    assert!(!run.status.success() && message.contains(expected), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(run.stdout.is_empty(), "nothing is said on standard output");
}
