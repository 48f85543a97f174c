//! The experiment `solutions`, quick: its tables, and what they must show.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod common;
#[path = "common/page.rs"]
mod page;

use std::sync::LazyLock;

use common::{Row, Run, find, number, run};
use tempfile::TempDir;

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = linstab_experiments::ALL;

static RUN: LazyLock<(Run, TempDir)> = LazyLock::new(|| run("solutions", 2));

fn table(name: &str) -> Vec<Row> {
    RUN.0.table(name)
}

/// The row of a generalising solution on independent inputs.
fn generalising<'a>(
    rows: &'a [Row],
    num_features: &str,
    optimizer: &str,
    metric: &str,
    batch_size: &str,
) -> &'a Row {
    let solution = [("solution", "generalising"), ("num_features", num_features), ("index", "")];
    let what = [("optimizer", optimizer), ("metric", metric), ("batch_size", batch_size)];
    find(rows, &[solution, what].concat())
}

/// 2 sqrt(d + 1) under the half loss.
fn curvature_of_a_sample() -> f64 {
    2.0 * 101.0_f64.sqrt()
}

#[test]
fn the_number_of_threads_changes_nothing_and_all_files_are_there() {
    let (single, _folder) = run("solutions", 1);
    assert_eq!(single.tables(), RUN.0.tables());
    let figures = RUN.1.path().join("results/figures");
    for figure in
        ["solutions-coherence", "solutions-thresholds", "solutions-criteria", "solutions-redundancy"]
    {
        for kind in ["svg", "png"] {
            assert!(figures.join(format!("{figure}.{kind}")).exists(), "{figure}.{kind}");
        }
    }
}

#[test]
fn the_page_shows_the_numbers_of_the_tables() {
    let page = page::Page::of(&RUN.1.path().join("results"));
    page.check();
    let (num_checked, num_controlled) = page.check_numbers();
    assert!(num_checked > 60 && 10 * num_controlled > 7 * num_checked, "{num_controlled} of {num_checked}");
}

#[test]
fn every_solution_is_one() {
    for name in ["solutions", "solutions-redundancy"] {
        for row in table(name) {
            match row["metric"].as_str() {
                // Sums of 100 terms of size 1, and products by r and 1 / r.
                "interpolation_error" => assert!(number(&row, "mean") < 1e-12, "{row:?}"),
                "max_active_units" => assert!((number(&row, "mean") - 1.0).abs() < 1e-15, "{row:?}"),
                _ => {}
            }
        }
    }
}

/// The corrected formulas are right within the scatter of few draws; the paper's are not, on either side.
#[test]
fn corrected_formulas_are_right_and_the_printed_ones_are_not() {
    let rows = table("solutions");
    for c in ["2", "4", "6"] {
        for optimizer in ["sgd", "sam"] {
            for metric in ["lambda_max_s", "sigma", "max_sample_sharpness", "sharpness"] {
                let row = generalising(&rows, c, optimizer, metric, "");
                let (exact, corrected) = (number(row, "mean"), number(row, "corrected"));
                assert!((exact / corrected - 1.0).abs() < 0.03, "{metric}: {exact}, not {corrected}");
            }
        }
        let sgd = generalising(&rows, c, "sgd", "max_sample_sharpness", "");
        assert!((number(sgd, "mean") - curvature_of_a_sample()).abs() < 1e-10, "this one is exact");
        assert!((number(sgd, "paper") - curvature_of_a_sample()).abs() < 1e-10, "this one is exact");
    }
    let overshoot = |c: &str, optimizer: &str, metric: &str| {
        let row = generalising(&rows, c, optimizer, metric, "");
        number(row, "paper") / number(row, "mean")
    };
    assert!(overshoot("2", "sgd", "lambda_max_s") > 1.4, "{}", overshoot("2", "sgd", "lambda_max_s"));
    assert!(overshoot("6", "sgd", "lambda_max_s") < 0.6, "{}", overshoot("6", "sgd", "lambda_max_s"));
    assert!(overshoot("2", "sam", "max_sample_sharpness") > 1.2, "eq. (79)");
}

#[test]
fn memorising_has_everything_in_closed_form() {
    let rows = table("solutions");
    let each = curvature_of_a_sample();
    let of = |optimizer: &str, metric: &str, batch_size: &str| {
        let what = [("optimizer", optimizer), ("metric", metric), ("batch_size", batch_size), ("index", "")];
        number(find(&rows, &[&[("solution", "memorising")], &what[..]].concat()), "mean")
    };
    let close = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
    assert!(close(of("sgd", "sigma", ""), 1.0) && close(of("sam", "sigma", ""), 1.0));
    assert!(close(of("sgd", "max_learning_rate", "1"), 2.0 / each));
    assert!(close(of("sam", "max_learning_rate", "1"), 2.0 / (each * (1.0 + 0.1 * each / 100.0))));
    // Of batches of B out of n, B / n see a direction: E h = l / n and E h^2 = (l / B)^2 B / n, so eta* = 2 B / l.
    assert!(close(of("sgd", "max_learning_rate", "10"), 20.0 / each));
    // Negative control: not that of the full batch.
    assert!(!close(of("sgd", "max_learning_rate", "10"), of("sgd", "gradient_descent_limit", "")));
    let spectrum =
        rows.iter().filter(|row| row["solution"] == "memorising" && row["metric"] == "s_eigenvalue");
    let eigenvalues: Vec<f64> =
        spectrum.filter(|row| row["optimizer"] == "sgd").map(|row| number(row, "mean")).collect();
    assert_eq!(eigenvalues.len(), 10);
    assert!(eigenvalues.iter().all(|&value| close(value, each)), "S is diagonal: {eigenvalues:?}");
}

/// At equal flatness the divergence criterion for SGD is n / max_i lambda_max(H_i) (n/B - 1)^{-1/2} for every solution, while the
/// exact thresholds differ.
#[test]
fn the_divergence_criterion_does_not_see_the_features() {
    let rows = table("solutions");
    let expected = 100.0 / curvature_of_a_sample() / 9.0_f64.sqrt();
    let criterion =
        ["2", "4", "6"].map(|c| number(generalising(&rows, c, "sgd", "criterion_divergence", "10"), "mean"));
    assert!(criterion.iter().all(|found| (found / expected - 1.0).abs() < 1e-9), "{criterion:?}");
    let exact =
        ["2", "4", "6"].map(|c| number(generalising(&rows, c, "sgd", "max_learning_rate", "10"), "mean"));
    assert!(exact[1] > 1.2 * exact[0] && exact[2] > exact[1], "{exact:?}");
}

/// With fully correlated inputs only four inputs are left: nobody can tell the solutions apart, the paper's in-cluster value is
/// exact, and nothing can be memorised.
#[test]
fn full_redundancy_makes_the_solutions_one() {
    let rows = table("solutions-redundancy");
    let at = |degree: &str| -> Vec<Row> {
        let here = |row: &&Row| row["redundancy"] == "correlated" && row["degree"] == degree;
        rows.iter().filter(here).cloned().collect()
    };
    let (none, full) = (at("0.0"), at("1.0"));
    let by_features = |rows: &[Row], metric: &str, batch_size: &str| {
        ["2", "4", "6"].map(|c| number(generalising(rows, c, "sgd", metric, batch_size), "mean"))
    };
    for (metric, batch_size) in [("sigma", ""), ("max_learning_rate", "10"), ("largest_cluster", "")] {
        let [two, four, six] = by_features(&full, metric, batch_size);
        assert!((two / four - 1.0).abs() < 1e-9 && (two / six - 1.0).abs() < 1e-9, "{metric}");
        // Negative control: without redundancy they differ.
        let [two, _, six] = by_features(&none, metric, batch_size);
        assert!((two / six - 1.0).abs() > 0.2, "{metric}: {two}, {six}");
    }
    let sigma = by_features(&full, "sigma", "")[0];
    let cluster = by_features(&full, "largest_cluster", "")[0];
    assert!((sigma / cluster - 1.0).abs() < 1e-9, "{sigma}, {cluster}");
    let exists = |rows: &[Row]| {
        number(find(rows, &[("solution", "memorising"), ("metric", "exists")]), "mean").to_bits()
    };
    assert_eq!((exists(&none), exists(&full)), (1.0_f64.to_bits(), 0.0_f64.to_bits()));
    let of_memorising = full.iter().filter(|row| row["solution"] == "memorising");
    assert_eq!(of_memorising.count(), 1, "nothing is made up where there is no solution");
}

#[test]
fn bad_values_name_the_file_the_key_and_what_is_allowed() {
    for (from, to, expected) in [
        ("width = 100", "width = 99", "width is 99, allowed: num_samples = 100 to 10000"),
        ("[2, 3, 4, 5, 6]", "[2, 7]", "num_features is 7, allowed: 2 to num_inputs = 100"),
        ("momentum = 0.9", "momentum = 1.0", "momentum is 1, allowed: above 0 and below 1"),
        (
            "correlation = [0.0, 0.25",
            "correlation = [0.0, 1.25",
            "redundancy.correlation is 1.25, allowed: 0 to 1",
        ),
        (
            "num_distinct = [50",
            "num_distinct = [1",
            "redundancy.num_distinct is 1, allowed: 2 to num_inputs = 100",
        ),
        ("num_distinct = [10]", "num_distinct = [101]", "quick.num_distinct is 101"),
        ("[1, 5, 10, 50, 100]", "[0, 5]", "batch_size is 0, allowed: 1 to 100"),
        ("num_eigenvalues = 10", "num_eigenvalues = 101", "num_eigenvalues is 101, allowed: 1 to 100"),
    ] {
        let message = common::refusal("solutions", from, to);
        assert!(message.contains("solutions.toml") && message.contains(expected), "{message}");
    }
}
