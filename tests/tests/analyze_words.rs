//! What `analyze` says where: losses by name, eighty columns, colour, help.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::Path;

use linstab_analysis::files::encode_safetensors;
use linstab_tests::analyze::{EXAMPLE, refused, stdout};
use linstab_tests::{linstab, output};
use serde_json::Value;

/// Writes a tensor of one name, and says where.
fn written(folder: &Path, file: &str, shape: &[usize], entries: &[f32]) -> String {
    let path = folder.join(file);
    std::fs::write(&path, encode_safetensors(&[("entries", shape, entries)])).unwrap();
    path.to_str().unwrap().to_owned()
}

fn waves(len: u16, step: f32) -> Vec<f32> {
    (0..len).map(|i| (f32::from(i) * step).sin()).collect()
}

fn report(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[arguments, &["--format", "json"]].concat())).unwrap()
}

fn value(report: &Value, name: &str) -> f64 {
    let rows = report["diagnostics"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap()["value"].as_f64().unwrap()
}

#[test]
fn a_named_loss_makes_coefficients() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, shape: &[usize], entries: &[f32]| written(folder.path(), name, shape, entries);
    let factors = file("factors.safetensors", &[12, 2, 5], &waves(120, 0.7));
    let (outputs, targets) = (waves(24, 0.3), waves(24, 1.1));
    let residuals: Vec<f32> = outputs.iter().zip(&targets).map(|(f, y)| f - y).collect();
    let (said, meant) =
        (file("f.safetensors", &[12, 2], &outputs), file("y.safetensors", &[12, 2], &targets));
    let plain = file("c.safetensors", &[12, 2], &residuals);
    let base = ["analyze", &factors, "--batch-size", "3"];
    let by_loss = |loss: &str| {
        report(&[&base[..], &["--outputs", &said, "--targets", &meant, "--loss", loss]].concat())
    };
    let given = report(&[&base[..], &["--residuals", &plain]].concat());
    let half = by_loss("half_squared_error");
    // Two outputs: the mean of squares is the half sum, and so is its curvature.
    let mean = by_loss("mse");
    for name in ["gradient_noise_interaction", "batch_sharpness", "alignment", "gradient_noise_scale"] {
        let expected = value(&given, name);
        for found in [value(&half, name), value(&mean, name)] {
            assert!((found - expected).abs() < 1e-6 * expected.abs(), "{name}: {found}, expected {expected}");
        }
    }
    assert_eq!(mean["scale"], 1.0);
    // One output: the mean of squares has twice the curvature of half of them.
    let one = file("one.safetensors", &[24, 5], &waves(120, 0.7));
    let flat = |name: &str, entries: &[f32]| file(name, &[24], entries);
    let (said_one, meant_one) = (flat("f1.safetensors", &outputs), flat("y1.safetensors", &targets));
    let of_one = |loss: &str| {
        report(&[
            "analyze",
            &one,
            "--batch-size",
            "3",
            "--outputs",
            &said_one,
            "--targets",
            &meant_one,
            "--loss",
            loss,
        ])
    };
    let (half, mean) = (of_one("half_squared_error"), of_one("mse"));
    let twice = value(&mean, "gradient_noise_interaction") / value(&half, "gradient_noise_interaction");
    assert!((twice - 2.0).abs() < 1e-9 && mean["scale"] == 2.0, "{twice}");
    // Three classes have factors of rank two: of either count, and no other.
    let (logits, classes) = (
        file("l.safetensors", &[12, 3], &waves(36, 0.9)),
        file("k.safetensors", &[12], &[0.0, 1.0, 2.0].repeat(4)),
    );
    let entropy = ["--outputs", &logits, "--targets", &classes, "--loss", "cross_entropy"];
    let report = report(&[&base[..], &entropy].concat());
    let alignment =
        report["diagnostics"].as_array().unwrap().iter().find(|row| row["name"] == "alignment").unwrap();
    assert_eq!(alignment["assumptions"][0]["holds"], false, "cross-entropy is no squared error");
    assert!(value(&report, "batch_sharpness") > 0.0);
}

#[test]
fn losses_and_their_files_are_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, shape: &[usize], entries: &[f32]| written(folder.path(), name, shape, entries);
    let (good, short) =
        (file("good.safetensors", &[100], &waves(100, 0.1)), file("short.safetensors", &[7], &waves(7, 0.1)));
    let mut damaged = waves(100, 0.1);
    damaged[3] = f32::NAN;
    let damaged = file("nan.safetensors", &[100], &damaged);
    let (two, classes) = (
        file("two.safetensors", &[100, 2], &waves(200, 0.1)),
        file("classes.safetensors", &[100], &[5.0; 100]),
    );
    let page = folder.path().join("page.html");
    for (outputs, targets, loss, said) in [
        (&good, &good, "hinge", "half_squared_error, mse, cross_entropy"),
        (&short, &good, "mse", "outputs are floating-point numbers, [100, 1]"),
        (&good, &short, "mse", "targets are floating-point numbers, [100, 1]"),
        (&damaged, &good, "mse", "entry 3 is NaN, allowed: finite numbers"),
        (&two, &classes, "cross_entropy", "entry 0 is 5, allowed: classes from 0 to 1"),
        (&good, &classes, "cross_entropy", "logits of 1 or 2 classes"),
    ] {
        let flags =
            ["--outputs", outputs, "--targets", targets, "--loss", loss, "--report", page.to_str().unwrap()];
        // A file that is not finite is damaged; the others are sound, and not what is asked for.
        let code = if outputs == &damaged { 1 } else { 2 };
        refused(&[&["analyze", EXAMPLE][..], &flags].concat(), code, said);
        assert!(!page.exists(), "nothing is half-written");
    }
    refused(&["analyze", EXAMPLE, "--outputs", &good, "--targets", &good], 2, "--loss <NAME>");
    let both = ["--outputs", &good, "--targets", &good, "--loss", "mse", "--scale", "1"];
    refused(&[&["analyze", EXAMPLE][..], &both].concat(), 2, "--scale is 1, allowed: that of the loss, 2");
}

#[test]
fn text_fits_eighty_columns_and_is_plain_unless_a_terminal_reads_it() {
    let labels = [
        "--labels",
        EXAMPLE,
        "--diagnostics",
        "--lyapunov",
        "--learning-rate",
        "0.01",
        "--sampling",
        "bernoulli",
    ];
    let optimizers =
        ["--rho-over-alpha", "0.1", "--optimizer", "sgd:momentum=0.9,nesterov=true,weight_decay=1e-4"];
    let arguments =
        [&["analyze", "--batch-size", "10", "--quiet", EXAMPLE][..], &labels, &optimizers].concat();
    for arguments in [&arguments[..], &["analyze", EXAMPLE, "--batch-size", "1,10", "--quiet"]] {
        let text = stdout(arguments);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
        assert!(!text.contains('\u{1b}'), "nobody looks");
    }
    // As if a terminal were there, and one whose owner wants no colour.
    let colour = |no: bool| {
        let mut command = linstab(&["analyze", EXAMPLE, "--quiet", "--learning-rate", "0.01"]);
        command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        if no {
            command.env("NO_COLOR", "1");
        }
        String::from_utf8(output(command).stdout).unwrap()
    };
    let (with, without) = (colour(false), colour(true));
    assert!(with.starts_with('\u{1b}') && with.contains("32m") && !without.contains('\u{1b}'), "{with}");
}

#[test]
fn help_is_short_and_long_and_in_groups() {
    for command in ["analyze", "compare"] {
        let (short, long) = (stdout(&[command, "-h"]), stdout(&[command, "--help"]));
        assert!(short.len() < long.len() * 2 / 3, "{command}: {} and {}", short.len(), long.len());
    }
    for (command, groups) in [
        ("analyze", &["Input:", "Training:", "Loss and samples:", "Answer:", "Output:"][..]),
        ("check", &["Input:", "Baseline:"]),
        ("compare", &["Input:", "Training:", "Output:"]),
        ("reproduce", &["Experiments:", "Run:", "Shards:", "Output:", "README:"]),
        ("map", &["Input:", "Run:", "Shards:", "Output:"]),
        ("gather", &["Input:", "Run:", "Output:"]),
        ("thresholds", &["Input:", "Output:"]),
    ] {
        let (short, long) = (stdout(&[command, "-h"]), stdout(&[command, "--help"]));
        for group in groups {
            assert!(short.contains(&format!("\n{group}\n")), "{group} is not in {short}");
        }
        for line in short.lines().chain(long.lines()) {
            assert!(line.chars().count() <= 80, "{command}: {} columns: {line}", line.chars().count());
        }
    }
}

#[test]
fn completions_and_the_manual_are_installed() {
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(&["install-docs", folder.path().to_str().unwrap()]);
    let read = |place: &str| std::fs::read_to_string(folder.path().join(place)).unwrap();
    assert_eq!(read("bash-completion/completions/linstab"), stdout(&["completions", "bash"]));
    assert_eq!(read("zsh/site-functions/_linstab"), stdout(&["completions", "zsh"]));
    assert_eq!(read("fish/vendor_completions.d/linstab.fish"), stdout(&["completions", "fish"]));
    let pages =
        ["linstab", "linstab-analyze", "linstab-compare"].map(|name| read(&format!("man/man1/{name}.1")));
    let manual = stdout(&["man"]);
    assert!(
        pages.iter().all(|page| page.contains(".TH linstab") && manual.contains(page.as_str())),
        "{said}"
    );
    assert!(pages[1].contains("outputs") && said.lines().count() > 6, "{said}");
}
