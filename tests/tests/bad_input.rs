//! Bad input gets one clear line, the right exit code, and costs no file.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::Path;
use std::process::Command;

use linstab_tests::{ONLY_SGD, configs_with, linstab, output, root, stderr};

const FAILURE: i32 = 1;
const USAGE: i32 = 2;

/// Runs `reproduce` into a folder that already holds results, and checks that they survive.
fn refused(configs: &Path, arguments: &[&str], code: i32, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("manifest.json"), r#"{"program": "linstab"}"#).unwrap();
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
    let message = stderr(&run);
    assert_eq!(run.status.code(), Some(code), "{message}");
    for part in expected {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(run.stdout.is_empty(), "nothing is said on standard output");
    let manifest = std::fs::read_to_string(out.join("manifest.json")).unwrap();
    assert_eq!(manifest, r#"{"program": "linstab"}"#, "earlier results stay");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside them");
}

#[test]
fn bad_values_name_the_key_and_what_is_allowed() {
    let cases: &[((&str, &str), &[&str])] = &[
        (("to = 50 }", "to = 101 }"), &["coherence.to is 101", "1 to num_samples = 100"]),
        (
            ("coherence = { from = 1,", "coherence = { from = 0,"),
            &["coherence.from is 0", "1 to num_samples = 100"],
        ),
        (
            ("batch_size = { from = 1,", "batch_size = { from = 0,"),
            &["batch_size.from is 0", "1 to num_samples"],
        ),
        (("to = 49 }", "to = 200 }"), &["batch_size.to is 200", "1 to num_samples = 100"]),
        (("to = 49 }", "to = 49, step = 0 }"), &["batch_size.step is 0", "1 to the width of the grid = 49"]),
        (
            ("to = 49 }", "to = 49, step = 50 }"),
            &["batch_size.step is 50", "1 to the width of the grid = 49"],
        ),
        (("[0.5, 0.8]", "[1e300]"), &["learning_rate is 1e300", "1e-30 to 1e30"]),
        (("num_samples = 100", "num_samples = 1000000000"), &["num_samples is 1000000000", "1 to 100000"]),
        (("[0.5, 0.8]", "[0.5, 0.0]"), &["learning_rate is 0", "positive and finite"]),
        (("[0.5, 0.8]", "[0.5, -1.0]"), &["learning_rate is -1", "positive and finite"]),
        (("[0.5, 0.8]", "[nan]"), &["learning_rate is NaN", "positive and finite"]),
        (("[0.5, 0.8]", "[]"), &["learning_rate is empty", "at least one value"]),
        (("[0.5, 0.8]", "[0.5, 0.5]"), &["learning_rate is [0.5, 0.5]", "distinct"]),
        (("0.05, 0.1", "-0.05, 0.1"), &["rho_over_alpha is -0.05"]),
        (("reference_rho_over_alpha = 0.1", "reference_rho_over_alpha = 0.3"), &["one of rho_over_alpha"]),
        (("sharpness = 2.0", "sharpness = inf"), &["sharpness is inf"]),
        (("num_samples = 100", "num_samples = 0"), &["num_samples is 0", "1 to 100000"]),
        (("num_steps = 1000", "num_steps = 0"), &["num_steps is 0"]),
        (("num_repetitions = 10", "num_repetitions = 0"), &["num_repetitions is 0"]),
        (("divergence_factor = 1000.0", "divergence_factor = 1.0"), &["divergence_factor is 1", "above 1"]),
        // Syntax, with the line.
        (("num_samples = 100", "num_smaples = 100"), &["stability-map.toml:6: unknown field `num_smaples`"]),
        (("tie = ", "momentum = 1.0\ntie = "), &["unknown field `momentum`"]),
        (("seed = 2026", "seed = -1"), &["stability-map.toml:3:", "u64"]),
        (("\"sgd\"", "\"adam\""), &["unknown variant `adam`", "`sgd`"]),
        (("seed = 2026", "this is not TOML"), &["stability-map.toml:3:"]),
        (("seed = 2026", ""), &["missing field `seed`"]),
    ];
    for (replacement, expected) in cases {
        refused(configs_with(&[*replacement]).path(), &[], USAGE, expected);
    }
}

#[test]
fn bad_flags_are_usage_errors() {
    for arguments in [
        &["--only", "nonesuch"][..],
        &["--threads", "0"],
        &["--seed", "-1"],
        &["--nonesuch"],
        &["--threads", "many"],
        &["--update-readme", "--quick"],
        &["--update-readme", "--only", "digits"],
        &["--check-readme", "--seed", "1"],
        &["--update-readme", "--check-readme"],
    ] {
        let run = output(linstab(&[&["reproduce"], arguments].concat()));
        assert_eq!(run.status.code(), Some(USAGE), "{arguments:?}: {}", stderr(&run));
        assert_eq!(stderr(&run).lines().count(), 1, "{}", stderr(&run));
    }
}

#[test]
fn files_that_cannot_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &[], FAILURE, &["cannot read", "stability-map.toml", "No such file"]);

    let file = folder.path().join("a-file");
    std::fs::write(&file, "precious").unwrap();
    let foreign = folder.path().join("documents");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.tex"), "precious").unwrap();
    for (out, code, expected) in [
        (file.join("below"), FAILURE, "cannot create folder"),
        (file.clone(), USAGE, "is in the way"),
        (foreign.clone(), USAGE, "is in the way"),
    ] {
        let run = output(linstab(&["reproduce", "--quick", "--out", out.to_str().unwrap()]));
        assert_eq!(run.status.code(), Some(code), "{}", stderr(&run));
        assert!(stderr(&run).contains(expected), "{}", stderr(&run));
        assert_eq!(stderr(&run).lines().count(), 1);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(foreign.join("thesis.tex")).unwrap(), "precious");
}

/// A full disk, stood in for by a limit on file sizes: 64 blocks hold the first checkpoint, not the tables.
#[test]
fn a_full_disk_is_reported_and_leaves_earlier_results() {
    let configs = configs_with(&ONLY_SGD);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    let paths = [
        "reproduce",
        "--only",
        "stability-map",
        "--quick",
        "--configs",
        configs.path().to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    assert!(output(linstab(&paths)).status.success());
    let before = std::fs::read(out.join("tables/stability-map.csv")).unwrap();
    let program = linstab(&[]).get_program().to_owned();
    let mut limited = Command::new("bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "bash"])
        .arg(program)
        .args(paths)
        .args(["--seed", "9", "--quiet"]);
    limited.current_dir(root());
    let run = output(limited);
    assert_eq!(run.status.code(), Some(FAILURE), "{}", stderr(&run));
    assert!(stderr(&run).contains("cannot write"), "{}", stderr(&run));
    assert_eq!(stderr(&run).lines().count(), 1, "{}", stderr(&run));
    assert_eq!(std::fs::read(out.join("tables/stability-map.csv")).unwrap(), before);
}

#[test]
fn moved_thresholds_exit_with_three() {
    let folder = tempfile::tempdir().unwrap();
    let golden = std::fs::read_to_string(root().join("data/golden/stability-map.toml")).unwrap();
    std::fs::write(folder.path().join("moved.toml"), golden.replacen("value = 99.0", "value = 99.1", 1))
        .unwrap();
    let thresholds = |extra: &[&str]| {
        output(linstab(&[&["thresholds", "--folder", folder.path().to_str().unwrap()], extra].concat()))
    };
    let run = thresholds(&[]);
    assert_eq!(run.status.code(), Some(3));
    let report = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(report.contains("is 99, was 99.1"), "{report}");
    assert!(thresholds(&["--bless"]).status.success());
    assert!(thresholds(&[]).status.success());
}

#[test]
fn a_closed_or_full_standard_output_is_no_panic() {
    let run = |redirection: &str| {
        let mut command = Command::new("bash");
        let program = linstab(&[]).get_program().to_owned();
        command
            .args(["-c", &format!("set -o pipefail; \"$@\" {redirection}"), "bash"])
            .arg(program)
            .arg("thresholds");
        command.current_dir(root());
        output(command)
    };
    let closed = run("| head -c 0");
    assert_eq!((closed.status.code(), stderr(&closed).as_str()), (Some(0), ""));
    let full = run("> /dev/full");
    assert_eq!(full.status.code(), Some(FAILURE));
    assert!(stderr(&full).starts_with("error: cannot write to standard output"), "{}", stderr(&full));
}

#[test]
fn an_empty_folder_of_thresholds_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let run = output(linstab(&["thresholds", "--folder", folder.path().to_str().unwrap()]));
    assert_eq!(run.status.code(), Some(USAGE));
    assert!(stderr(&run).contains("holds no golden thresholds"), "{}", stderr(&run));
}
