//! `linstab reproduce`: its files, its numbers, determinism, interruption.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use linstab_tests::{ONLY_SGD, configs_with, contents, linstab, output, small_digits, stderr};
use sha2::{Digest, Sha256};

type Row = BTreeMap<String, String>;

fn read_csv(path: &Path) -> Vec<Row> {
    csv::Reader::from_path(path).unwrap().deserialize().map(|row| row.unwrap()).collect()
}

fn reproduce(configs: &Path, out: &Path, arguments: &[&str]) {
    let paths = [
        "reproduce",
        "--only",
        "stability-map",
        "--configs",
        configs.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let run = output(linstab(&[&paths, arguments].concat()));
    assert!(run.status.success(), "{}", stderr(&run));
}

const COLUMNS: [&str; 16] = [
    "optimizer",
    "sampling",
    "learning_rate",
    "rho_over_alpha",
    "batch_size",
    "sigma",
    "num_repetitions",
    "num_diverged",
    "diverged",
    "mean_divergence_step",
    "mean_final_squared_norm",
    "mean_square_growth",
    "lyapunov_exponent",
    "max_learning_rate",
    "criterion_divergence",
    "criterion_theorem_3_3",
];

#[test]
fn a_quick_run_is_complete_and_consistent() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    reproduce(Path::new("data/configs"), &out, &["--quick"]);
    let rows = read_csv(&out.join("tables/stability-map.csv"));
    assert_eq!(rows.len(), 28 * 13 * 8, "28 maps of 13 batch sizes and 8 coherences");
    for column in COLUMNS {
        assert!(rows[0].contains_key(column), "{column}");
    }
    for row in &rows {
        let number = |key: &str| row[key].parse::<f64>().unwrap();
        assert_eq!(row["diverged"], (number("num_diverged") > 5.0).to_string());
        assert_eq!(row["mean_divergence_step"].is_empty(), row["num_diverged"] == "0");
        // By epochs there is no threshold in the table: it would take a scan.
        if row["sampling"] == "reshuffling" {
            assert!(row["max_learning_rate"].is_empty() && number("mean_square_growth") > 0.0, "{row:?}");
            continue;
        }
        let unstable = number("learning_rate") > number("max_learning_rate") * (1.0 + 1e-12);
        assert_eq!(unstable, number("mean_square_growth") > 1.0 + 1e-12, "{row:?}");
    }
    // The JSON has the same rows; numbers without a JSON notation are the texts of the CSV.
    let json: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(&std::fs::read(out.join("tables/stability-map.json")).unwrap()).unwrap();
    assert_eq!(json.len(), rows.len());
    for (object, row) in json.iter().zip(&rows) {
        for (key, value) in object {
            let same = match value {
                serde_json::Value::Null => row[key].is_empty(),
                serde_json::Value::String(text) => *text == row[key],
                serde_json::Value::Number(number) => row[key].parse::<f64>().ok() == number.as_f64(),
                serde_json::Value::Bool(flag) => row[key].parse() == Ok(*flag),
                nested => panic!("{key} is {nested}"),
            };
            assert!(same, "{key}: {value} against {}", row[key]);
        }
    }
    // The manifest names every file with its hash.
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["experiments"][0]["config"]["num_samples"], 100);
    assert_eq!(manifest["experiments"][0]["seed"], 2026);
    let files = contents(&out);
    assert_eq!(manifest["files"].as_array().unwrap().len(), files.len());
    for file in manifest["files"].as_array().unwrap() {
        let bytes = &files[file["path"].as_str().unwrap()];
        let hash = Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(file["sha256"], hash);
    }
    for figure in ["figure-1a", "figure-1b", "figure-1c", "stability-map-agreement", "maps/sgd-bernoulli-0.8"]
    {
        assert!(files[&format!("figures/{figure}.svg")].starts_with(b"<svg"), "{figure}");
        let png = &files[&format!("figures/{figure}.png")];
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{figure}: {} bytes", png.len());
    }
}

/// The published protocol for SGD at learning rate 0.5: independent programs found 2227 to 2229 stable cells of 2450.
#[test]
fn the_sgd_map_is_the_known_one_for_any_seed() {
    let configs = configs_with(&ONLY_SGD);
    let folder = tempfile::tempdir().unwrap();
    for seed in ["1", "77", "2026"] {
        let out = folder.path().join(seed);
        reproduce(configs.path(), &out, &["--only", "stability-map", "--seed", seed]);
        let rows = read_csv(&out.join("tables/stability-map.csv"));
        let num_stable = rows.iter().filter(|row| row["diverged"] == "false").count();
        assert_eq!(rows.len(), 2450);
        assert!((2222..=2234).contains(&num_stable), "seed {seed}: {num_stable}");
        let summary = read_csv(&out.join("tables/stability-map-summary.csv"));
        let right = |key: &str| summary[0][key].parse::<usize>().unwrap();
        assert!(
            right("right_lyapunov") > 2440,
            "the Lyapunov exponent predicts what is simulated: {summary:?}"
        );
        assert!(right("right_mean_square") < 2400, "the mean square does not: {summary:?}");
    }
}

/// Replacements that make a run of a few seconds on one thread.
const SLOW: [(&str, &str); 3] = [
    ("coherence = { from = 1, to = 50 }", "coherence = { from = 1, to = 50, step = 4 }"),
    ("batch_size = { from = 1, to = 49 }", "batch_size = { from = 1, to = 49, step = 4 }"),
    (r#"["without-replacement", "bernoulli", "reshuffling"]"#, r#"["with-replacement", "bernoulli"]"#),
];

#[test]
fn a_killed_run_resumes_and_no_thread_count_changes_a_bit() {
    let configs = configs_with(&SLOW);
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    reproduce(configs.path(), &whole, &["--only", "stability-map", "--threads", "2"]);

    let resumed = folder.path().join("resumed");
    let arguments = [
        "reproduce",
        "--only",
        "stability-map",
        "--configs",
        configs.path().to_str().unwrap(),
        "--out",
        resumed.to_str().unwrap(),
        "--threads",
        "1",
    ];
    let mut first = linstab(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // As soon as something is saved: later the run could be over.
    let checkpoints = folder.path().join(".resumed.linstab-work/checkpoints");
    let saved = || std::fs::read_dir(&checkpoints).is_ok_and(|mut files| files.next().is_some());
    while first.try_wait().unwrap().is_none() && !saved() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(600));
    assert!(first.try_wait().unwrap().is_none(), "the run is still under way");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!resumed.exists(), "nothing is published before it is complete");
    let checkpoint = std::fs::read_dir(checkpoints).unwrap().next().unwrap().unwrap().path();
    let age = checkpoint.metadata().unwrap().modified().unwrap().elapsed().unwrap();
    assert!(age < Duration::from_secs(1), "at most a second of work is lost, not {age:?}");

    // A truncated checkpoint and a foreign file are refused by name; nothing is overwritten.
    let bytes = std::fs::read(&checkpoint).unwrap();
    let refused = |content: &[u8], reason: &str| {
        std::fs::write(&checkpoint, content).unwrap();
        let run = output(linstab(&[&arguments[..], &["--quiet"]].concat()));
        assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
        let message = stderr(&run);
        assert!(message.contains(reason) && message.contains("--restart"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert_eq!(std::fs::read(&checkpoint).unwrap(), content, "the checkpoint is left alone");
    };
    refused(&bytes[..bytes.len() / 2], "is truncated or damaged");
    refused(b"something else entirely", "is not a linstab checkpoint");
    std::fs::write(&checkpoint, &bytes).unwrap();

    let run = output({
        let mut command = linstab(&arguments);
        command.env("RUST_LOG", "info");
        command
    });
    assert!(run.status.success(), "{}", stderr(&run));
    let log = String::from_utf8_lossy(&run.stdout).into_owned() + &stderr(&run);
    assert!(log.contains("num_done=") && !log.contains("num_done=0 "), "it continues: {log}");
    assert_eq!(
        contents(&resumed),
        contents(&whole),
        "the same bits as without interruption, on another thread count"
    );
    assert!(!folder.path().join(".resumed.linstab-work").exists(), "nothing is left behind");
}

#[test]
fn a_second_run_replaces_the_first_and_a_concurrent_one_is_refused() {
    let configs = configs_with(&ONLY_SGD);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    reproduce(configs.path(), &out, &["--only", "stability-map", "--quick"]);
    let quick = contents(&out);
    let arguments = [
        "reproduce",
        "--only",
        "stability-map",
        "--configs",
        configs.path().to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--threads",
        "1",
    ];
    let mut running = linstab(&arguments).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let second = output(linstab(&arguments));
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    assert!(stderr(&second).contains("another run is writing to"), "{}", stderr(&second));
    assert_eq!(contents(&out), quick, "earlier results stay until the new ones are complete");
    assert!(running.wait().unwrap().success());
    assert_ne!(contents(&out), quick);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no folder beside the results");
}

/// The arguments of a quick run of two experiments that take half a second.
fn two_experiments<'a>(configs: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let paths = ["--configs", configs.to_str().unwrap(), "--out", out.to_str().unwrap()];
    [&["reproduce", "--quick", "--only", "local-convergence", "--only", "digits"][..], &paths].concat()
}

/// Two experiments, of which the second is made as small as can be.
fn small_configs(max_polish_steps: usize) -> tempfile::TempDir {
    let folder = configs_with(&[]);
    small_digits(folder.path(), max_polish_steps);
    folder
}

fn manifest(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn what_is_unchanged_is_not_run_again_and_what_was_edited_is() {
    let folder = tempfile::tempdir().unwrap();
    let (out, configs) = (folder.path().join("results"), small_configs(100));
    let arguments = two_experiments(configs.path(), &out);
    let run = |extra: &[&str]| {
        let run = output(linstab(&[&arguments[..], extra].concat()));
        assert!(run.status.success(), "{}", stderr(&run));
        (String::from_utf8_lossy(&run.stdout).into_owned(), stderr(&run))
    };
    let (summary, lines) = run(&[]);
    assert!(lines.contains("no results yet") && lines.contains("done digits"), "{lines}");
    assert!(lines.contains("on ") && lines.contains("reduced sizes"), "{lines}");
    assert!(summary.contains("2 run, 0 unchanged") && summary.contains("summary: "), "{summary}");
    assert!(summary.lines().count() < 12, "compact: {summary}");
    let whole = std::fs::read_to_string(out.join("summary.txt")).unwrap();
    assert!(whole.lines().count() > 20 && whole.contains("restarted at distance"), "{whole}");
    let (fresh, first) = (contents(&out), manifest(&out));

    let (summary, lines) = run(&[]);
    assert!(lines.contains("nothing has changed") && !lines.contains("done"), "{lines}");
    assert!(summary.contains("0 run, 2 unchanged"), "{summary}");
    assert_eq!((contents(&out), &manifest(&out)["experiments"]), (fresh.clone(), &first["experiments"]));

    let table = out.join("tables/digits.csv");
    let edited = std::fs::read_to_string(&table).unwrap().replacen('1', "2", 1);
    std::fs::write(&table, edited).unwrap();
    let (summary, lines) = run(&[]);
    assert!(lines.contains("tables/digits.csv is missing or was edited"), "{lines}");
    assert!(summary.contains("2 run, 0 unchanged"), "{summary}");
    assert_eq!(contents(&out), fresh);

    let (summary, _) = run(&["--force"]);
    assert!(summary.contains("2 run, 0 unchanged"), "{summary}");
    assert_eq!(contents(&out), fresh);
    assert_eq!(run(&["--quiet"]), (String::new(), String::new()));
}

/// A minimum that is never reached makes `digits` fail while it runs.
#[test]
fn a_failed_experiment_is_named_and_the_others_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let (out, failing, working) = (folder.path().join("results"), small_configs(0), small_configs(100));
    let run = output(linstab(&two_experiments(failing.path(), &out)));
    assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
    let (summary, lines) = (String::from_utf8_lossy(&run.stdout).into_owned(), stderr(&run));
    assert!(summary.contains("digits: FAILED") && summary.contains("1 failed (digits)"), "{summary}");
    assert!(lines.lines().last().unwrap().starts_with("error: digits: "), "{lines}");
    let files = contents(&out);
    assert!(files.contains_key("tables/local-convergence.csv"), "the rest is complete");
    assert!(!files.keys().any(|path| path.contains("digits")), "{:?}", files.keys());
    assert_eq!(manifest(&out)["failures"][0]["id"], "digits");

    let run = output(linstab(&two_experiments(working.path(), &out)));
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(String::from_utf8_lossy(&run.stdout).contains("2 run, 0 unchanged"), "{}", stderr(&run));
    assert!(contents(&out).contains_key("tables/digits.csv"), "the next try makes it whole");
    assert_eq!(manifest(&out)["failures"].as_array().unwrap().len(), 0);
}
