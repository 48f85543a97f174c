//! The experiment `digits` from outside: its tables, and what they must show.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[expect(dead_code, reason = "other tests need more of it")]
mod common;

use common::{Row, configs, number, options};
use linstab_driver::progress::Silent;
use linstab_driver::{DriverError, Options, reproduce};
use std::path::Path;
use tempfile::TempDir;

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = linstab_experiments::ALL;

/// A folder with the configuration of the repository, changed in places that must exist.
fn changed(changes: &[(&str, &str)]) -> TempDir {
    changed_with(changes, &[])
}

/// The same with these contenders alone, or all if none is named.
fn changed_with(changes: &[(&str, &str)], contenders: &[&str]) -> TempDir {
    let text = std::fs::read_to_string(configs().join("digits.toml")).unwrap();
    // A contender's table ends where the next one, or the next section, begins.
    let mut text: String = text
        .split_inclusive("\n\n")
        .filter(|part| {
            let name =
                part.split_once("[[contenders]]\nname = \"").and_then(|(_, rest)| rest.split_once('"'));
            contenders.is_empty() || name.is_none_or(|(name, _)| contenders.contains(&name))
        })
        .collect();
    if !contenders.is_empty() {
        let (start, rest) = text.split_once("[quick]\ncontenders = ").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        text = format!("{start}[quick]\ncontenders = {contenders:?}\n{rest}");
    }
    let data = configs().join("../digits/digits.csv").canonicalize().unwrap();
    for (from, to) in [&[("../digits/digits.csv", data.to_str().unwrap())][..], changes].concat() {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("digits.toml"), text).unwrap();
    folder
}

fn run(configs: &Path, num_threads: usize) -> Result<(TempDir, String), DriverError> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    let options = Options { configs: configs.to_path_buf(), ..options("digits", num_threads, out) };
    let report = reproduce(linstab_experiments::ALL, &options, &Silent)?;
    Ok((folder, report.outcomes[0].summary.clone()))
}

fn table(folder: &TempDir, name: &str) -> Vec<Row> {
    let path = folder.path().join(format!("results/tables/{name}.csv"));
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Ratios around 1, and both a factor of 2 further: had the threshold the wrong factor, they would be told apart.
const RATIOS: &str = "learning_rate_ratios = [0.525, 0.8, 0.95, 1.05, 1.2, 1.9]\nnum_runs = 2";

#[test]
fn training_does_as_the_exact_threshold_says() {
    let quick = "batch_sizes = [50, 100]\nlearning_rate_ratios = [0.8, 0.95, 1.05, 1.2]\nnum_runs = 2";
    let folder = changed_with(
        &[
            (quick, &format!("batch_sizes = [1, 50]\n{RATIOS}")),
            ("max_multiplications = 3e10", "max_multiplications = 2e10"),
        ],
        &["sgd", "momentum", "adamw", "normalised-sam", "sgd-reshuffled"],
    );
    let (results, summary) = run(folder.path(), 2).unwrap();
    let header = std::fs::read_to_string(results.path().join("results/tables/digits.csv")).unwrap();
    let first =
        "optimizer,batch_size,max_learning_rate,learning_rate_ratio,run,initial_loss,final_loss,grew,";
    assert!(header.starts_with(first), "{header:.200}");

    let minimum = &table(&results, "digits-minimum")[0];
    assert!(number(minimum, "loss") <= 1e-28 && number(minimum, "loss_after_sgd") < 1e-3, "{minimum:?}");

    let rows = table(&results, "digits");
    assert_eq!(rows.len(), 5 * 2 * 6 * 2);
    let mut num_judged = 0;
    for row in &rows {
        let (ratio, grew) = (number(row, "learning_rate_ratio"), &row["grew"] == "true");
        // Between .8 and 1.2 single runs with momentum may differ from the mean square.
        let close = (0.9..1.1).contains(&ratio);
        match row["optimizer"].as_str() {
            "momentum" | "adamw" | "sgd-reshuffled" if close => continue,
            "sgd" | "momentum" | "adamw" | "sgd-reshuffled" => assert_eq!(grew, ratio > 1.0, "{row:?}"),
            _ => assert!(grew && number(row, "final_loss") > 1e-6, "its ascent does not shrink: {row:?}"),
        }
        num_judged += 1;
        let decayed = number(row, "final_loss") < number(row, "initial_loss");
        assert!(grew || decayed, "{row:?}");
    }
    assert_eq!(num_judged, 24 + 16 + 16 + 16 + 24);
    assert!(summary.contains("sgd did as eta* says: at 0.525 100 %"), "{summary}");
    check_thresholds(&table(&results, "digits-thresholds"));
    for figure in ["digits.svg", "digits.png", "digits-losses.svg", "digits-losses.png"] {
        assert!(results.path().join("results/figures").join(figure).is_file(), "{figure}");
    }
}

fn check_thresholds(rows: &[Row]) {
    assert_eq!(
        rows.len(),
        10,
        "SGD, momentum, AdamW, SAM (for the normalised form), reshuffled SGD, for two batch sizes"
    );
    for row in rows {
        let of = |column| number(row, column);
        let exact = of("max_learning_rate");
        assert!(of("max_learning_rate_lower") <= exact && exact <= of("max_learning_rate_upper"), "{row:?}");
        let estimated = row["sampling"] == "reshuffling";
        let ordered = exact <= of("gradient_descent_limit") && exact <= of("almost_sure_threshold");
        assert!(ordered || estimated, "{row:?}");
        let unspoken = ["momentum", "adamw", "sgd-reshuffled"].contains(&row["optimizer"].as_str());
        assert_eq!(of("criterion_divergence").is_nan(), unspoken, "the paper does not speak of it");
        assert!(unspoken || of("criterion_theorem_3_3") < exact, "no general truth, but so it is here");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = changed_with(
        &[
            ("batch_sizes = [50, 100]", "batch_sizes = [10]"),
            ("num_steps = [8000, 16000, 8000, 800, 400]", "num_steps = [80, 80, 80, 80, 80]"),
            ("num_steps = [3000, 1500, 1500, 400, 400]", "num_steps = [40, 40, 40, 40, 40]"),
            ("max_multiplications = 3e10", "max_multiplications = 1e10"),
        ],
        &["sgd", "sgd-reshuffled"],
    );
    let (one, two) = (run(folder.path(), 1).unwrap(), run(folder.path(), 3).unwrap());
    let contents =
        |folder: &TempDir, name: &str| std::fs::read(folder.path().join("results").join(name)).unwrap();
    for name in ["tables/digits.csv", "tables/digits-thresholds.csv", "figures/digits-losses.svg"] {
        assert!(contents(&one.0, name) == contents(&two.0, name), "{name}");
    }
    assert_eq!(one.1, two.1);
}

#[test]
fn a_start_beyond_a_cut_is_refused() {
    let changes = [("distance = 1e-8", "distance = 1.0"), ("batch_sizes = [50, 100]", "batch_sizes = [100]")];
    let folder = changed_with(&changes, &["sgd"]);
    let results = tempfile::tempdir().unwrap();
    let out = results.path().join("results");
    let options = Options { configs: folder.path().to_path_buf(), ..options("digits", 1, out) };
    let report = reproduce(linstab_experiments::ALL, &options, &Silent).unwrap();
    let (_, failure) = report.failures().next().unwrap();
    let expected = "protocol.distance is 1e0, where a run starts at a loss of ";
    assert!(failure.contains(expected) && failure.contains("between decayed_loss = "), "{failure}");
}

#[test]
fn bad_configurations_are_refused_by_name() {
    let cases = [
        (
            "classes = [3, 8]",
            "classes = [3, 3]",
            "digits.classes is [3, 3], allowed: two of the digits 0 to 9",
        ),
        ("sha256 = \"6ebb", "sha256 = \"0ebb", "restore it, or correct sha256 in the configuration"),
        ("distance = 1e-8", "distance = 0.0", "protocol.distance is 0e0, allowed: positive, 1e-30 to 1e30"),
        ("decayed_loss = 1e-27", "decayed_loss = 1e-29", "at least minimum.polished_loss = 1e-28"),
        ("sgd:momentum=0.9\"", "sgd:momentum=1.0\"", "allowed: above -1 and below 1"),
        ("weight_decay=0\"", "weight_decay=0.1\"", "allowed: optimizers that stay at a minimum of the loss"),
        ("\"reshuffling\"", "\"cyclic\"", "sampling is cyclic, allowed: without-replacement or reshuffling"),
        ("name = \"momentum\"", "name = \"sgd\"", "contenders"),
        ("batch_sizes = [50, 100]", "batch_sizes = [20]", "quick.batch_sizes is 20, allowed: some of"),
        (
            "[8000, 16000, 8000, 800, 400]",
            "[8000, 16000, 8000, 800]",
            "contenders.sgd.num_steps is [8000, 16000, 8000, 800], allowed: 5 numbers",
        ),
        ("num_chains = 8", "num_chains = 1", "lyapunov.num_chains is 1, allowed: 2 to"),
        ("normalised_ascent = 0.05", "radius = 0.05", "unknown field `radius`"),
        ("num_samples = 100", "num_samples = 358", "holds 357 images of 3 and 8, 358 were asked for"),
    ];
    for (from, to, message) in cases {
        let error = run(changed(&[(from, to)]).path(), 1).unwrap_err();
        assert!(error.to_string().contains(message), "{to}: {error}");
        assert!(error.is_usage(), "{error}");
    }
}
