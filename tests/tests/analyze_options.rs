//! `linstab analyze`: options that do not apply, files that are not finite, several outputs, and agreement with itself.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_tests::analyze::{names, npy, refused, stdout};
use linstab_tests::{linstab, output, stderr};
use serde_json::Value;

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[&["analyze", "--quiet", "--format", "json"], arguments].concat())).unwrap()
}

/// What would say nothing is refused; reports that have it by themselves are made.
#[test]
fn what_does_not_apply_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<f64> = (0..12).map(|at| (f64::from(at) * 0.7).sin()).collect();
    let factors = npy(folder.path(), "factors.npy", (4, 3), &entries);
    let residuals = npy(folder.path(), "residuals.npy", (4, 1), &entries[..4]);
    let by_epochs = ["--batch-size", "2", "--sampling", "reshuffling"];
    for others in
        [&by_epochs[..], &["--population", "9"], &["--optimizer", "sam:rho_over_alpha=0.1,ascent=batch"]]
    {
        for asked in [&["--diagnostics"][..], &["--residuals", &residuals]] {
            let arguments = [&["analyze", &factors], others, asked].concat();
            refused(&arguments, 2, &format!("{} is given, allowed: with batches drawn afresh", asked[0]));
        }
        assert!(json(&[&[&factors[..]], others].concat())["stability"].is_array());
    }
    refused(
        &["analyze", &factors, "--last-batch", "drop"],
        2,
        "--last-batch is drop, allowed: with batches by",
    );
    let decayed = ["analyze", &factors, "--quiet", "--optimizer", "sgd:weight_decay=1e155"];
    let message = stderr(&output(linstab(&decayed)));
    assert_eq!(message, "error: weight_decay is 1e155, allowed: at most 1e50 times the curvature\n");
}

/// A file with a number that is not finite is a damaged file, whatever is in it.
#[test]
fn files_that_are_not_finite_fail_alike() {
    let folder = tempfile::tempdir().unwrap();
    let factors = npy(folder.path(), "factors.npy", (2, 2), &[1.0, 2.0, 3.0, 4.0]);
    let damaged = npy(folder.path(), "damaged.npy", (2, 2), &[1.0, f64::NAN, f64::NAN, 4.0]);
    let column = npy(folder.path(), "column.npy", (2, 1), &[1.0, f64::NAN]);
    for arguments in [
        &[&damaged[..]][..],
        &["--gram", &damaged],
        &[&factors, "--residuals", &column],
        &[&factors, "--outputs", &column, "--targets", &column, "--loss", "mse"],
    ] {
        refused(&[&["analyze"], arguments].concat(), 1, "is NaN");
    }
    refused(&["check", &damaged, "--against", "nonesuch.json"], 1, "nonesuch.json");
}

/// Several outputs appear together or not at all.
#[test]
fn outputs_are_all_there_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let factors = npy(folder.path(), "factors.npy", (2, 2), &[1.0, 2.0, 3.0, 4.0]);
    let [page, plot, report, missing, wrong] =
        ["page.html", "plot.svg", "report.json", "missing/report.json", "missing/plot.svg"]
            .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&page, "earlier").unwrap();
    for arguments in [["--report", &page, "-o", &missing], ["--report", &page, "--plot", &wrong]] {
        refused(&[&["analyze", &factors], &arguments[..]].concat(), 1, "cannot write");
        assert_eq!(std::fs::read_to_string(&page).unwrap(), "earlier");
        assert_eq!(names(folder.path()).len(), 2, "nothing is left beside it");
    }
    stdout(&["analyze", &factors, "--quiet", "--report", &page, "--plot", &plot, "-o", &report]);
    assert!(names(folder.path()).len() == 4 && std::fs::read_to_string(&page).unwrap().len() > 1000);
}

/// The same file agrees with its baseline at any tolerance, however coarsely that was computed, and what moved fits a terminal.
#[test]
fn a_file_agrees_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<f64> = (0..24).map(|at| (f64::from(at) * 0.7).sin()).collect();
    let factors = npy(folder.path(), "factors.npy", (6, 4), &entries);
    let larger: Vec<f64> = entries.iter().map(|entry| 1e40 * entry).collect();
    let larger = npy(folder.path(), "larger.npy", (6, 4), &larger);
    let baseline = folder.path().join("baseline.json").to_str().unwrap().to_owned();
    for tolerance in ["1e-4", "1e-6", "1e-11"] {
        let asked = ["--batch-size", "1,2", "--optimizer", "sgd:momentum=0.9", "--optimizer", "sgd"];
        let made = ["analyze", &factors, "--format", "json", "-o", &baseline, "--tolerance", tolerance];
        stdout(&[&made[..], &asked].concat());
        assert!(stdout(&["check", &factors, "--against", &baseline, "--rtol", "0"]).contains(" 0 moved"));
        let run = output(linstab(&["check", &larger, "--against", &baseline, "--quiet"]));
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(
            run.status.code() == Some(3) && text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}

/// One is not several.
#[test]
fn one_sample_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let factors = npy(folder.path(), "factors.npy", (1, 2), &[1.0, 2.0]);
    let run = output(linstab(&["analyze", &factors]));
    let text = stderr(&run) + &String::from_utf8_lossy(&run.stdout);
    assert!(text.contains("1 sample, 2 parameters") && !text.contains("1 samples"), "{text}");
}
