//! The experiment `local-convergence`, quick: its tables, and what they must show.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod common;
#[path = "common/page.rs"]
mod page;

use std::path::Path;

use common::{Row, number, run};

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = linstab_experiments::ALL;

const SGD: (&str, &str) = ("sgd", "0.0");
const METHODS: [(&str, &str); 3] = [SGD, ("sam", "0.01"), ("sam", "0.05")];

fn loss((optimizer, rho): (&str, &str), num_features: &str, epoch: &str, rows: &[Row]) -> f64 {
    let wanted = [("optimizer", optimizer), ("rho", rho), ("num_features", num_features), ("epoch", epoch)];
    number(common::find(rows, &wanted), "mean_loss")
}

#[test]
fn the_quick_run_shows_what_it_must() {
    let (one, folder) = run("local-convergence", 1);
    let (two, _other) = run("local-convergence", 2);
    assert_eq!(one.tables(), two.tables(), "the number of threads changes nothing");
    let page = page::Page::of(&folder.path().join("results"));
    page.check();
    let (num_checked, num_controlled) = page.check_numbers();
    assert!(num_checked > 60 && 10 * num_controlled > 7 * num_checked, "{num_controlled} of {num_checked}");
    let rows = one.table("local-convergence");
    assert_eq!(rows.len(), 3 * 4 * 11, "methods, solutions, epochs");
    let columns = ["optimizer", "rho", "num_features", "epoch", "mean_loss", "sd_loss"];
    let file = &one.tables()[Path::new("local-convergence.csv")];
    assert!(file.starts_with(columns.join(",").as_bytes()), "the promised columns, first");
    for row in &rows {
        assert!(number(row, "mean_loss") > 0.0 && number(row, "sd_loss") >= 0.0, "{row:?}");
        assert_eq!(row["num_diverged"], "0");
    }
    for c in ["2", "3", "4", "5"] {
        let starts = METHODS.map(|method| loss(method, c, "0", &rows).to_bits());
        assert!(starts.windows(2).all(|pair| pair[0] == pair[1]), "the methods start alike");
        // SAM is faster in the first epochs, the more so the larger its radius.
        for epoch in ["1", "2", "5"] {
            let losses = METHODS.map(|method| loss(method, c, epoch, &rows));
            assert!(losses[0] > losses[1] && losses[1] > losses[2], "C = {c}, epoch {epoch}: {losses:?}");
        }
    }
    // In the first epochs fewer features lose a larger share of the loss.
    for method in METHODS {
        for epoch in ["1", "2"] {
            let share = |c: &str| loss(method, c, epoch, &rows) / loss(method, c, "0", &rows);
            let shares = ["2", "3", "4", "5"].map(share);
            assert!(shares.windows(2).all(|pair| pair[0] < pair[1]), "{method:?}, epoch {epoch}: {shares:?}");
        }
    }
    for figure in ["figure-1d", "local-convergence-thresholds"] {
        for kind in ["svg", "png"] {
            assert!(
                folder.path().join(format!("results/figures/{figure}.{kind}")).exists(),
                "{figure}.{kind}"
            );
        }
    }
}

/// Negative control for reading the losses as stability: at equal flatness the exact thresholds say the opposite.
#[test]
fn thresholds_do_not_favour_fewer_features() {
    let (run, _folder) = run("local-convergence", 2);
    let rows = run.table("local-convergence-solutions");
    let by_features = |metric: &str, batch_size: &str| {
        ["2", "3", "4", "5"].map(|c| {
            let wanted = [("num_features", c), ("metric", metric), ("batch_size", batch_size)];
            number(common::find(&rows, &wanted), "mean")
        })
    };
    // 2 (r^2 + (d + 1) / r^2) under the full loss, the same for every solution and sample.
    let each = 4.0 * 101.0_f64.sqrt();
    for metric in ["trace", "max_sample_sharpness"] {
        assert!(by_features(metric, "").iter().all(|found| (found - each).abs() < 1e-10 * each), "{metric}");
    }
    // One sample at a time: sum_i H_i I H_i = |g|^2 sum_i H_i, so the identity is critical, at 2 / |g|^2.
    let single = by_features("max_learning_rate", "1");
    assert!(single.iter().all(|found| (found * each / 2.0 - 1.0).abs() < 1e-9), "{single:?}");
    let sigma = by_features("sigma", "");
    assert!(sigma.windows(2).all(|pair| pair[0] > pair[1]), "fewer features are more coherent: {sigma:?}");
    let thresholds = by_features("max_learning_rate", "10");
    assert!(thresholds.windows(2).all(|pair| pair[0] < pair[1]), "and less stable: {thresholds:?}");
}

#[test]
fn bad_values_name_the_file_the_key_and_what_is_allowed() {
    for (from, to, expected) in [
        ("[2, 3, 4, 5]", "[1, 3]", "num_features is 1, allowed: 2 to num_inputs = 100"),
        (
            "width = 50",
            "width = 31",
            "num_features is 5, allowed: 2 to num_inputs = 100, and 2^C units fit into width = 31",
        ),
        ("scale = \"optimal\"", "scale = \"best\"", "expected \"optimal\" or a number"),
        ("scale = \"optimal\"", "scale = 0.0", "scale is 0, allowed: positive"),
        ("loss = \"full\"", "loss = \"twice\"", "expected `half` or `full`"),
        ("batch_size = 10", "batch_size = 101", "batch_size is 101, allowed: 1 to 100"),
        ("learning_rate = 0.01", "learning_rate = nan", "learning_rate is NaN, allowed: positive"),
        ("sam_rho = [0.01, 0.05]", "sam_rho = [0.01, 0.01]", "distinct values"),
        ("num_first_epochs = 5", "num_first_epochs = 51", "num_first_epochs is 51, allowed: 1 to 50"),
        ("num_epochs = 50", "num_epoch = 50", "unknown field `num_epoch`"),
    ] {
        let message = common::refusal("local-convergence", from, to);
        assert!(message.contains("local-convergence.toml") && message.contains(expected), "{message}");
    }
}
