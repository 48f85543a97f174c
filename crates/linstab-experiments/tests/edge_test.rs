//! The experiment `edge-test` from outside, on records of runs whose transition is known.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[expect(dead_code, reason = "other tests need more of it")]
mod common;
#[path = "common/page.rs"]
mod page;

use std::fmt::Write;
use std::path::Path;

use common::{Row, configs, find, number, options};
use linstab_driver::progress::Silent;
use linstab_driver::{DriverError, Options, reproduce};
use page::Page;
use tempfile::TempDir;

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = linstab_experiments::ALL;

const NUM_SAMPLES: usize = 40;

/// Records of runs that grow from the true threshold on, and of predictions: the exact threshold is `scale` times the true one.
struct Records {
    scale: f64,
    minima: String,
    thresholds: String,
    restarts: String,
}

impl Records {
    fn new(scale: f64) -> Self {
        let mut records = Self {
            scale,
            minima: "minimum,network,activation,data,loss,seed,num_samples,num_outputs,num_parameters,final_loss,gradient_norm,\
                     interpolating,sharpness,hessian_sharpness,coherence,seconds\n"
                .to_owned(),
            thresholds: "minimum,optimizer,sampling,batch_size,predictor,learning_rate,lower,upper\n".to_owned(),
            restarts: "minimum,optimizer,sampling,batch_size,ratio,learning_rate,num_runs,num_grown,median_passage,median_slope,\
                       num_steps,live_second_moment,seconds\n"
                .to_owned(),
        };
        for seed in [1, 2] {
            for (index, network) in ["mlp", "cnn", "attention"].into_iter().enumerate() {
                let name = format!("{network}.digits.mse.{seed}");
                records.minimum(&name, network, seed, true);
                let limit = 0.1 * 10.0_f64.powi(i32::try_from(index).unwrap());
                for optimizer in ["sgd", "sgd:momentum=0.9", "adamw:weight_decay=0"] {
                    records.settings(&name, optimizer, limit);
                }
            }
            let name = format!("mlp.digits.ce.{seed}");
            records.minimum(&name, "mlp", seed, false);
            records.settings(&name, "sgd", 0.3);
        }
        records
    }

    fn minimum(&mut self, name: &str, network: &str, seed: u64, interpolating: bool) {
        let (flag, hessian) = if interpolating { (1, "") } else { (0, "7.5") };
        let loss = if interpolating { "squared_error" } else { "cross_entropy" };
        writeln!(self.minima, "{name},{network},relu,digits,{loss},{seed},{NUM_SAMPLES},10,500,1e-25,1e-13,{flag},7.0,{hessian},2.0,3.5")
            .unwrap();
    }

    fn settings(&mut self, name: &str, optimizer: &str, limit: f64) {
        for sampling in ["independent", "reshuffling"] {
            for batch_size in [1, 8, NUM_SAMPLES] {
                let noise = 1.0 - batch_size as f64 / NUM_SAMPLES as f64;
                let afresh = limit / (1.0 + 4.0 * noise / (batch_size as f64).sqrt());
                let loader = if sampling == "independent" { afresh } else { afresh * (1.0 + 0.2 * noise) };
                let key = format!("{name},\"{optimizer}\",{sampling},{batch_size}");
                for (predictor, value) in [
                    ("mean_square", self.scale * loader),
                    ("mean_square_independent", self.scale * afresh),
                    ("almost_sure", 1.03 * self.scale * loader),
                    ("gradient_descent_limit", limit),
                    ("trace_bound", 0.01 * loader),
                ] {
                    writeln!(self.thresholds, "{key},{predictor},{value:?},{value:?},{value:?}").unwrap();
                }
                writeln!(self.thresholds, "{key},batch_sharpness,inf,inf,inf").unwrap();
                for live in 0..=usize::from(optimizer.starts_with("adamw")) {
                    for ratio in [0.8, 0.95, 1.05, 1.2] {
                        // Of 20 runs a few decay just above the threshold.
                        let grown = if ratio < 1.0 {
                            0
                        } else if ratio < 1.1 {
                            19
                        } else {
                            20
                        };
                        let rate = ratio * loader;
                        writeln!(self.restarts, "{key},{ratio},{rate:?},20,{grown},,0.01,500,{live},1.5")
                            .unwrap();
                    }
                }
            }
        }
    }

    /// A folder with the shipped configuration and these records beside it.
    fn written(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (evidence, configurations) = (folder.path().join("evidence"), folder.path().join("configs"));
        for folder in [&evidence, &configurations] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::copy(configs().join("edge-test.toml"), configurations.join("edge-test.toml")).unwrap();
        let trainings = "training,optimizer,sampling,batch_size,step,loss,learning_rate,mean_square,gradient_descent_limit,batch_sharpness,event\n\
                         mlp,sgd,reshuffling,8,0,1.0,0.1,0.5,0.9,,\nmlp,sgd,reshuffling,8,100,0.1,0.1,0.11,0.3,,spike\n";
        for (name, text) in [
            ("minima.csv", &self.minima[..]),
            ("thresholds.csv", &self.thresholds),
            ("restarts.csv", &self.restarts),
            ("trainings.csv", trainings),
            ("record.toml", "date = \"2026-11-29\"\nprocessor = \"a processor\"\nhours_of_one_core = 1.5\n"),
        ] {
            std::fs::write(evidence.join(name), text).unwrap();
        }
        folder
    }
}

/// The results of a run, and its summary.
fn run(folder: &Path) -> Result<(TempDir, String), DriverError> {
    let out = tempfile::tempdir().unwrap();
    let options =
        Options { configs: folder.join("configs"), ..options("edge-test", 1, out.path().join("results")) };
    let report = reproduce(EXPERIMENTS, &options, &Silent)?;
    assert_eq!(report.failures().next(), None, "the experiment is completed");
    Ok((out, report.outcomes[0].summary.clone()))
}

fn table(out: &TempDir, name: &str) -> Vec<Row> {
    let path = out.path().join(format!("results/tables/{name}.csv"));
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

fn of_all<'a>(rows: &'a [Row], predictor: &str) -> &'a Row {
    find(rows, &[("scope", "interpolating"), ("by", "all"), ("predictor", predictor)])
}

#[test]
fn a_threshold_that_is_right_is_found_to_predict() {
    let folder = Records::new(1.0).written();
    let (out, summary) = run(folder.path()).unwrap();
    let errors = table(&out, "edge-test-errors");
    let exact = of_all(&errors, "mean_square");
    let counts =
        ["num_settings", "num_decided", "num_tight", "num_minima"].map(|column| exact[column].as_str());
    assert_eq!(counts, ["108", "108", "108", "6"], "6 minima, 3 optimizers, 2 loaders, 3 batch sizes");
    assert!(number(exact, "median_error") < 0.05, "{exact:?}");
    // With one sample a batch the limit of gradient descent is 4.9 times too high, 4.1 with reshuffling.
    let gradient_descent = find(
        &errors,
        &[
            ("scope", "interpolating"),
            ("by", "batch-size"),
            ("value", "1"),
            ("predictor", "gradient_descent_limit"),
        ],
    );
    assert!((number(gradient_descent, "median_error") - 3.4).abs() < 0.2, "{gradient_descent:?}");
    let sharpness = of_all(&errors, "batch_sharpness");
    assert_eq!((&sharpness["median_error"][..], &sharpness["num_loose"][..]), ("inf", "0"));
    let loader = find(
        &errors,
        &[
            ("scope", "interpolating"),
            ("by", "loader"),
            ("value", "reshuffled"),
            ("predictor", "mean_square_independent"),
        ],
    );
    assert!(
        (number(loader, "median_error") - 0.16).abs() < 0.05,
        "the loader moves the threshold: {loader:?}"
    );
    for scope in ["live-second-moment", "finite-loss"] {
        let row = find(&errors, &[("scope", scope), ("by", "all"), ("predictor", "mean_square")]);
        assert!(number(row, "median_error") < 0.05 && number(row, "num_settings") > 10.0, "{row:?}");
    }
    let seeds = table(&out, "edge-test-seeds");
    assert!(seeds.iter().all(|row| row["holds"] != "false") && seeds.len().is_multiple_of(3), "{seeds:?}");
    let batches = table(&out, "edge-test-batches");
    let exact = find(&batches, &[("scope", "interpolating"), ("predictor", "mean_square")]);
    assert!(number(exact, "num_asked") > 100.0 && exact["num_right"] == exact["num_asked"], "{exact:?}");
    let limit = find(&batches, &[("scope", "interpolating"), ("predictor", "gradient_descent_limit")]);
    assert!(limit["num_right"] == "0" && limit["num_too_small"] == limit["num_asked"], "{limit:?}");
    assert!(summary.starts_with("Exact thresholds predict where"), "{summary}");
    assert!(summary.contains("2 seeds of everything say the same"), "{summary}");
    let page = Page::of(&out.path().join("results"));
    page.check();
    assert!(page.check_numbers().0 > 100);
}

/// Negative control: a loss that is twice what it should be halves every threshold, and one that is half doubles it.
#[test]
fn a_wrong_scale_is_seen_as_a_factor_of_two() {
    for scale in [2.0, 0.5] {
        let folder = Records::new(scale).written();
        let (out, summary) = run(folder.path()).unwrap();
        let errors = table(&out, "edge-test-errors");
        let exact = of_all(&errors, "mean_square");
        assert!((number(exact, "median_error") - 1.0).abs() < 0.05, "{exact:?}");
        assert!((number(exact, "median_ratio") / scale - 1.0).abs() < 0.03, "{exact:?}");
        assert_eq!(exact["num_loose"], "0");
        assert!(summary.starts_with("Exact thresholds do not everywhere predict"), "{summary}");
        assert!(summary.contains("Freezing does not predict"), "{summary}");
    }
}

type File = fn(&mut Records) -> &mut String;

#[test]
fn records_that_make_no_sense_are_refused() {
    let records = || Records::new(1.0);
    let refused = |damaged: &Records, expected: &str| {
        let error = run(damaged.written().path()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.to_string().contains("cargo xtask evidence"), "{error}");
    };
    let minima: File = |records| &mut records.minima;
    let thresholds: File = |records| &mut records.thresholds;
    let restarts: File = |records| &mut records.restarts;
    let all = usize::MAX;
    // The first so many of a text become another.
    for (file, from, to, count, expected) in [
        (
            minima,
            "hessian_sharpness",
            "hesian_sharpness",
            1,
            "minima.csv: line 2: missing field `hessian_sharpness`",
        ),
        (thresholds, ",lower,", ",low,", 1, "thresholds.csv: line 2: missing field `lower`"),
        (minima, ",1,7.0,", ",7,7.0,", 1, "minima.csv: line 2: interpolating is 7, allowed: 0 or 1"),
        (minima, ",1,7.0,", ",1,seven,", 1, "minima.csv: line 2: sharpness: invalid float literal"),
        (minima, "mse.2", "mse.1", 1, "minima.csv: line 6: the same minimum a second time"),
        (
            thresholds,
            "independent",
            "independant",
            1,
            "thresholds.csv: line 2: sampling `independant`, allowed: independent, reshuffling",
        ),
        (
            restarts,
            "independent,8,",
            "independent,80,",
            1,
            "restarts.csv: line 6: batch_size is 80, allowed: 1 to 40",
        ),
        (thresholds, "reshuffling,8,", "reshuffling,9,", all, "no row of thresholds.csv is of this setting"),
        (minima, "mlp.digits.mse.1", "mlp", all, "thresholds.csv: line 2: no minimum `mlp.digits.mse.1`"),
        (restarts, ",20,0,", ",20,21,", 1, "restarts.csv: line 2: 21 of 20 runs grew"),
        (restarts, "\"sgd\"", "\"sdg\"", 1, "line 2: optimizer `sdg`"),
        (
            thresholds,
            "mean_square,",
            "mean_square,-",
            1,
            "thresholds.csv: line 2: a learning rate is negative",
        ),
    ] {
        let mut damaged = records();
        let text = file(&mut damaged);
        *text = text.replacen(from, to, count);
        refused(&damaged, expected);
    }
    let mut twice = records();
    twice.restarts = twice.restarts.replacen(",0.01,", ",x,", 1).replacen(",20,0,", ",y,0,", 1);
    refused(&twice, "restarts.csv: line 2");
    // Columns that nobody reads may have any name, or none.
    let mut others = records();
    others.restarts = others.restarts.replacen("median_passage", "median_pasage", 1);
    run(others.written().path()).unwrap();
    let folder = records().written();
    let trainings = folder.path().join("evidence/trainings.csv");
    // A header that is no text: the reader would go by the order of the columns.
    let text = std::fs::read(&trainings).unwrap();
    std::fs::write(&trainings, [&b"\xFF"[..], &text].concat()).unwrap();
    let error = run(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("trainings.csv: line 1: ") && error.to_string().contains("utf-8"),
        "{error}"
    );
    let folder = records().written();
    std::fs::remove_file(folder.path().join("evidence/restarts.csv")).unwrap();
    assert!(run(folder.path()).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (from, to, expected) in [
        ("tight = 0.05", "tight = 0", "judgement.tight is 0, allowed: between 0 and 1"),
        ("loose = 0.1 ", "loose = 0.01 ", "judgement.loose is 0.01, allowed: above tight, below 1"),
        ("num_resamples = 200\n", "num_resamples = 0\n", "num_resamples is 0, allowed: 1 to"),
    ] {
        let error = common::refusal("edge-test", from, to);
        assert!(error.contains(expected), "{error}");
    }
}
