//! `linstab analyze` with the optimizers and loaders that people run, and what it refuses.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_tests::analyze::{EXAMPLE, refused, stdout};
use serde_json::Value;

/// A `.npy` file of these numbers.
fn npy(path: &std::path::Path, numbers: &[f64]) {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", numbers.len());
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

fn json(arguments: &[&str]) -> Value {
    let common = ["analyze", EXAMPLE, "--format", "json", "--quiet"];
    serde_json::from_str(&stdout(&[&common, arguments].concat())).unwrap()
}

fn threshold(row: &Value) -> f64 {
    row["max_learning_rate"].as_f64().unwrap()
}

/// Rows come in the order asked, optimizers first; short forms are rows like others.
#[test]
fn rows_are_in_the_order_asked() {
    let report = json(&[
        "--batch-size",
        "1,10",
        "--optimizer",
        "sgd:momentum=0.9,nesterov=true,weight_decay=1e-4",
        "--optimizer",
        "sgd",
        "--momentum",
        "0.9",
        "--rho-over-alpha",
        "0.1",
    ]);
    let rows = report["stability"].as_array().unwrap();
    let found: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| (row["optimizer"].as_str().unwrap(), row["batch_size"].as_u64().unwrap()))
        .collect();
    let nesterov = "sgd:momentum=0.9,nesterov=true,weight_decay=0.0001";
    let expected = [nesterov, "sgd", "sam:rho_over_alpha=0.1", "sgd:momentum=0.9"];
    let expected: Vec<(&str, u64)> = expected.iter().flat_map(|name| [(*name, 1), (*name, 10)]).collect();
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| row["basis"] == "certified"), "{report}");
    // Plain momentum bears less than Nesterov's where noise limits it, more where sharpness does.
    assert!((threshold(&rows[6]) - threshold(&rows[0])).abs() > 1e-4 * threshold(&rows[0]), "{report}");
}

/// A preconditioner of ones leaves plain SGD; one of fours multiplies its learning rates by four.
#[test]
fn a_preconditioner_divides_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preconditioner.npy");
    let name = path.to_str().unwrap();
    let plain = threshold(&json(&["--batch-size", "10"])["stability"][0]);
    for factor in [1.0, 4.0] {
        npy(&path, &[factor; 660]);
        let report = json(&["--batch-size", "10", "--optimizer", "rmsprop", "--preconditioner", name]);
        let found = threshold(&report["stability"][0]);
        assert!((found / plain / factor - 1.0).abs() < 1e-9, "{found} {plain} {factor}");
    }
    let analyze =
        |rest: &[&str], expected: &str| refused(&[&["analyze", EXAMPLE], rest].concat(), 2, expected);
    let damaged =
        |rest: &[&str], expected: &str| refused(&[&["analyze", EXAMPLE], rest].concat(), 1, expected);
    let with = ["--optimizer", "adamw", "--preconditioner", name];
    for (at, value) in [(7, 0.0), (3, f64::NAN), (0, -1.0)] {
        let mut numbers = vec![1.0; 660];
        numbers[at] = value;
        npy(&path, &numbers);
        let expected = format!("entry {at} is {value}");
        if value.is_nan() { damaged(&with, &expected) } else { analyze(&with, &expected) }
    }
    npy(&path, &[1.0; 659]);
    analyze(&with, "has shape [659]");
    analyze(&["--optimizer", "adamw"], "together with a preconditioner");
    analyze(
        &["--preconditioner", name],
        "together with an optimizer that divides by it: adam, adamw, rmsprop",
    );
}

/// Reshuffled epochs: an estimate with its interval, the same for any number of threads, and a baseline that holds itself.
#[test]
fn loaders_are_estimated() {
    let ask = ["--batch-size", "10", "--sampling", "reshuffling", "--last-batch", "drop"];
    let report = json(&[&ask[..], &["--threads", "1"]].concat());
    assert_eq!(report, json(&[&ask[..], &["--threads", "2"]].concat()));
    let row = &report["stability"][0];
    assert!(row["basis"] == "estimated" && row["confidence"] == 0.95 && row["last_batch"] == "drop", "{row}");
    let (low, high) = (&row["max_learning_rate_interval"][0], &row["max_learning_rate_interval"][1]);
    let (low, high) = (low.as_f64().unwrap(), high.as_f64().unwrap());
    assert!(low < threshold(row) && threshold(row) < high && high / low < 1.0101, "{row}");
    // Within it nobody can tell; beside it one can.
    let judged = |rate: f64| {
        json(&[&ask[..], &["--learning-rate", &rate.to_string()]].concat())["stability"][0].clone()
    };
    assert!(judged(threshold(row))["stable"].is_null());
    assert!(judged(0.9 * low)["stable"] == true && judged(1.1 * high)["stable"] == false);
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("baseline.json");
    std::fs::write(&baseline, report.to_string()).unwrap();
    assert!(
        stdout(&["check", EXAMPLE, "--against", baseline.to_str().unwrap(), "--quiet"]).contains("0 moved")
    );
    // One order for good is a product of matrices.
    let cyclic = json(&["--batch-size", "100", "--sampling", "cyclic"]);
    assert_eq!(cyclic["stability"][0]["basis"], "exact", "{cyclic}");
    refused(
        &["analyze", EXAMPLE, "--batch-size", "101", "--sampling", "reshuffling", "--last-batch", "drop"],
        2,
        "--batch-size is 101, allowed: 1 to the number of samples, 100",
    );
}

/// What is misspelt is told with what is meant.
#[test]
fn misspelt_optimizers_are_refused() {
    let analyze =
        |spec: &str, expected: &str| refused(&["analyze", EXAMPLE, "--optimizer", spec], 2, expected);
    analyze("sdg", "did you mean `sgd`?");
    analyze("sgd:momentun=0.9", "did you mean `momentum`?");
    analyze("sgd:nesterov=true", "with momentum above 0 and without dampening");
    analyze("sgd:momentum=0.9,dampening=0.1,nesterov=true", "without dampening");
    analyze("sam", "`sam` needs rho_over_alpha");
}
