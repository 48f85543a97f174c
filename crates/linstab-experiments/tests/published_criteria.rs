//! The experiment `published-criteria` from outside: its tables, and what they must show.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[expect(dead_code, reason = "other tests need more of it")]
mod common;
#[path = "common/page.rs"]
mod page;

use std::sync::LazyLock;

use common::{Row, Run, configs, number, options, run};
use linstab_driver::progress::Silent;
use linstab_driver::{Options, reproduce};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Reduced, symmetric};
use tempfile::TempDir;

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = linstab_experiments::ALL;

static CRITERIA: LazyLock<(Run, TempDir)> = LazyLock::new(|| run("published-criteria", 2));

fn table(name: &str) -> Vec<Row> {
    let path = CRITERIA.1.path().join(format!("results/tables/{name}.csv"));
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Every claim holds, and ratios are what they say; a threshold that were off by two would be noticed.
#[test]
fn conditions_are_on_the_side_that_they_claim() {
    let rows = table("published-criteria");
    let (mut necessary, mut sufficient, mut noticed) = (0, 0, 0);
    for row in rows.iter().filter(|row| !row["ratio_to_exact"].is_empty()) {
        let ratio = number(row, "ratio_to_exact");
        let expected = number(row, "learning_rate") / number(row, "max_learning_rate");
        assert!((ratio / expected - 1.0).abs() < 1e-12, "{row:?}");
        let holds = |ratio: f64| match row["claims"].as_str() {
            "necessary" => ratio >= 1.0 - 1e-9,
            "sufficient" => ratio <= 1.0 + 1e-9,
            _ => true,
        };
        assert!(holds(ratio), "{row:?}");
        necessary += usize::from(row["claims"] == "necessary");
        sufficient += usize::from(row["claims"] == "sufficient");
        // Negative control.
        noticed += usize::from(!holds(0.5 * ratio) || !holds(2.0 * ratio));
    }
    assert!(necessary > 20 && sufficient > 6, "{necessary}, {sufficient}");
    assert!(2 * noticed > necessary + sufficient, "{noticed} of {necessary} and {sufficient}");
    for ensemble in ["digits", "convolutional", "training"] {
        assert!(rows.iter().any(|row| row["ensemble"] == ensemble), "{ensemble}");
    }
}

/// The convolutional network from the shipped file, computed here again.
#[test]
fn the_convolutional_network_is_that_of_the_file() {
    let bytes = std::fs::read(configs().join("../convolutional-factors.npy")).unwrap();
    let entries: Vec<f64> =
        bytes[128..].chunks(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect();
    let ensemble = Factored::new(40, 10, entries.len() / 400, entries).unwrap();
    let sharpness =
        symmetric::top_eigenvalue(linstab_linalg::Ensemble::mean_hessian(&ensemble).as_ref()).unwrap();
    let reduced = Reduced::of(&ensemble).unwrap();
    let rows = table("published-criteria");
    let find = |criterion: &str| {
        rows.iter().find(|row| row["ensemble"] == "convolutional" && row["criterion"] == criterion).unwrap()
    };
    let (full, size) = (find("sharpness"), number(find("sharpness"), "batch_size"));
    assert!((number(full, "learning_rate") * sharpness / 2.0 - 1.0).abs() < 1e-9);
    assert!((size - 10.0).abs() < 0.1, "the batch size of a quick run");
    for (criterion, scheme) in
        [("sharpness", SamplingScheme::WithoutReplacement), ("dexter-88", SamplingScheme::Bernoulli)]
    {
        let exact = |size: usize| {
            let sampling = BatchSampling::new(scheme, 40, size).unwrap();
            MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap().max_learning_rate().unwrap().value
        };
        let found = number(find(criterion), "max_learning_rate");
        assert!((found / exact(10) - 1.0).abs() < 1e-9, "{criterion}");
        assert!((found / exact(5) - 1.0).abs() > 1e-4, "another batch size is seen");
    }
}

#[test]
fn the_page_has_the_numbers_of_the_tables() {
    let page = page::Page::of(&CRITERIA.1.path().join("results"));
    page.check();
    let (num_checked, num_controlled) = page.check_numbers();
    assert!(num_checked > 60 && 2 * num_controlled > num_checked, "{num_controlled} of {num_checked}");
}

#[test]
fn a_file_that_is_not_the_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join("published-criteria.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let data = configs().join("..").canonicalize().unwrap();
    let digits = folder.path().join("digits.toml");
    let absolute =
        std::fs::read_to_string(&digits).unwrap().replace("\"..", &format!("\"{}", data.display()));
    std::fs::write(&digits, absolute).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let text = text.replace("\"..", &format!("\"{}", data.display())).replace(from, to);
        std::fs::write(&path, text).unwrap();
        let options = Options {
            configs: folder.path().to_path_buf(),
            quick: false,
            ..options("published-criteria", 1, folder.path().join("results"))
        };
        reproduce(EXPERIMENTS, &options, &Silent).unwrap_err().to_string()
    };
    assert!(refused("f604fd29", "00000000").contains("convolutional-factors.npy: sha256 is f604fd29"));
    let error = refused("epochs = [2, 5, 10, 20, 50]", "epochs = [2, 51]");
    assert!(error.contains("training.epochs is 51, allowed: 1 to 50"), "{error}");
    let error = refused("batch_sizes = [1, 5, 10, 50]", "batch_sizes = [101]");
    assert!(error.contains("digits.batch_sizes is 101, allowed: 1 to 100"), "{error}");
}
