//! `linstab analyze`, `check` and their relatives from outside.

use std::io::Write as _;
use std::process::Stdio;

use linstab_analysis::files::encode_safetensors;
use linstab_tests::analyze::{EXAMPLE, fixture, names, refused, stdout};
use linstab_tests::{linstab, output, root, stderr};
use serde_json::Value;

#[test]
fn the_verdict_comes_first_and_the_cost_before_it() {
    let run = output(linstab(&["analyze", EXAMPLE, "--batch-size", "1,10", "--rho-over-alpha", "0.1"]));
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let first_line = text.lines().next().unwrap();
    assert!(
        first_line
            .starts_with("stable up to learning rate 0.03819 at batch size 1 and 0.07804 at batch size 10,"),
        "{first_line}"
    );
    let first = text.split("\n\n").next().unwrap().replace('\n', " ");
    for part in ["(certified), batches drawn afresh without replacement", "momentum 0.9 would allow", "SAM"] {
        assert!(first.contains(part), "`{part}` is not in: {first}");
    }
    assert!(text.contains("responsible sample") && text.contains("counted from 0"), "{text}");
    // The paper's criteria assume another sampling: a line, not a table of numbers that do not apply.
    assert!(text.contains("ask for Bernoulli sampling") && !text.contains("over exact"), "{text}");
    assert!(first.contains("for comparison, momentum 0.9"), "it was not asked for: {first}");
    assert!(text.contains("ascends along the full-batch gradient"), "{text}");
    let cost = stderr(&run);
    assert!(
        cost.contains("reading 257.8 KiB") && cost.contains("of memory") && cost.contains("second"),
        "{cost}"
    );
}

/// Every number that the report documents is there, and the thresholds are those that definitions give.
#[test]
fn the_report_has_its_schema() {
    let labels = fixture("labels.npy");
    let text = stdout(&[
        "analyze",
        &fixture("cube-f8-big-F-v3.npy"),
        "--batch-size",
        "1,3",
        "--sampling",
        "bernoulli",
        "--learning-rate",
        "0.01",
        "--rho-over-alpha",
        "0.1",
        "--momentum",
        "0.5",
        "--lyapunov",
        "--labels",
        &labels,
        "--format",
        "json",
        "--scale",
        "2",
    ]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report["schema"], &report["num_samples"], &report["num_factors"]),
        (&2.into(), &3.into(), &2.into())
    );
    for key in ["num_parameters", "rank", "sharpness", "trace", "max_sample_sharpness"] {
        assert!(report[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {report}");
    }
    for key in ["coherence", "coherence_sam"] {
        assert!(
            report[key]["lambda_max_s"].is_number() && report[key]["sigma"].is_number(),
            "{key} in {report}"
        );
    }
    let stability = report["stability"].as_array().unwrap();
    assert_eq!(stability.len(), 6, "three optimizers at two batch sizes");
    for line in stability {
        let rate = line["max_learning_rate"].as_f64().unwrap();
        let (low, high) = (
            line["max_learning_rate_interval"][0].as_f64().unwrap(),
            line["max_learning_rate_interval"][1].as_f64().unwrap(),
        );
        assert!(low <= rate && rate <= high && low > 0.0, "{line}");
        let growth = line["growth_per_step"].as_f64().unwrap();
        assert_eq!(line["stable"].as_bool().unwrap(), growth < 1.0, "{line}");
        assert!(
            line["lyapunov"]["mean"].is_number() && line["lyapunov"]["standard_error"].is_number(),
            "{line}"
        );
        assert!(["exact", "certified"].contains(&line["basis"].as_str().unwrap()), "{line}");
        let momentum = line["optimizer"] == "sgd:momentum=0.5";
        assert_eq!(line["criteria"].as_object().unwrap().is_empty(), momentum, "{line}");
    }
    assert_eq!(report["groups"].as_array().unwrap().len(), 2, "labels -1 and 4");
    assert!(report["responsible_samples"][0]["label"].is_number(), "{report}");
    // The trace by hand: 2 / n sum of squares.
    let entry = |at: u32| (f64::from((7 * at) % 23) - 11.0) / 2.0;
    let trace = 2.0 / 3.0 * (0..30).map(|at| entry(at) * entry(at)).sum::<f64>();
    assert!((report["trace"].as_f64().unwrap() - trace).abs() < 1e-10 * trace, "{report}");
}

#[test]
fn standard_input_is_read() {
    let bytes = std::fs::read(fixture("flat-f4-little-C-v1.npy")).unwrap();
    let mut command = linstab(&["analyze", "-", "--batch-size", "1", "--format", "json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let run = child.wait_with_output().unwrap();
    let from_file =
        stdout(&["analyze", &fixture("flat-f4-little-C-v1.npy"), "--batch-size", "1", "--format", "json"]);
    assert_eq!(String::from_utf8_lossy(&run.stdout), from_file, "{}", stderr(&run));
}

/// The file order, the blocks and the threads change nothing.
#[test]
fn the_report_is_a_function_of_the_numbers() {
    let text = |arguments: &[&str]| {
        stdout(&[&["analyze", "--format", "json", "--batch-size", "2"], arguments].concat())
    };
    let expected = text(&[&fixture("cube-f8-little-C-v1.npy")]);
    assert_eq!(text(&[&fixture("cube-f8-big-C-v2.npy"), "--threads", "1"]), expected, "big endian");
    assert_eq!(text(&[&fixture("cube-deflated.npz"), "--memory-limit", "20MiB"]), expected, "deflated");
    assert_ne!(text(&[&fixture("cube-f8-little-C-v1.npy"), "--scale", "2"]), expected, "the control");
}

#[test]
fn baselines_are_kept_or_moved() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("baseline.json");
    let path = baseline.to_str().unwrap();
    let written = stdout(&["analyze", EXAMPLE, "--rho-over-alpha", "0.1", "--format", "json", "-o", path]);
    assert!(written.is_empty() && std::fs::read_dir(folder.path()).unwrap().count() == 1, "one file, whole");
    assert!(stdout(&["check", EXAMPLE, "--against", path]).contains("0 moved"));
    // One threshold half a percent elsewhere.
    let mut report: Value = serde_json::from_slice(&std::fs::read(&baseline).unwrap()).unwrap();
    let value = report["stability"][2]["max_learning_rate"].as_f64().unwrap();
    report["stability"][2]["max_learning_rate"] = (1.005 * value).into();
    std::fs::write(&baseline, report.to_string()).unwrap();
    let run = output(linstab(&["check", EXAMPLE, "--against", path]));
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(3), "{text}");
    assert!(
        text.contains("max learning rate of sgd, without-replacement, at batch size 32")
            && text.contains("-0.498 %"),
        "{text}"
    );
    assert!(text.contains("1 moved"), "only that one: {text}");
    assert!(stdout(&["check", EXAMPLE, "--against", path, "--rtol", "0.01"]).contains("0 moved"));
    // A hundred-thousandth elsewhere: still to be seen.
    report["stability"][2]["max_learning_rate"] = (1.00001 * value).into();
    std::fs::write(&baseline, report.to_string()).unwrap();
    let run = output(linstab(&["check", EXAMPLE, "--against", path]));
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(text.contains(&format!("{value:.9e}")) && text.contains("-1.0e-3 %"), "{text}");
    // Another model altogether.
    let run = output(linstab(&["check", &fixture("cube-f8-little-C-v1.npy"), "--against", path]));
    assert_eq!(run.status.code(), Some(3), "{}", stderr(&run));
    refused(&["check", EXAMPLE, "--against", EXAMPLE], 2, "is no JSON baseline");
    std::fs::write(&baseline, r#"{"schema": 1}"#).unwrap();
    refused(&["check", EXAMPLE, "--against", path], 2, "schema 1, supported: 2");
    refused(&["check", EXAMPLE, "--against", "nonesuch.json"], 1, "nonesuch.json");
}

#[test]
fn bad_requests_and_bad_files_are_told_apart() {
    let analyze =
        |rest: &[&str], code, expected: &str| refused(&[&["analyze"], rest].concat(), code, expected);
    analyze(
        &[EXAMPLE, "--batch-size", "101"],
        2,
        "--batch-size is 101, allowed: 1 to the number of samples, 100",
    );
    analyze(&[EXAMPLE, "--batch-size", "0"], 2, "--batch-size is 0");
    analyze(&[EXAMPLE, "--momentum", "1"], 2, "above -1 and below 1");
    analyze(&[EXAMPLE, "--learning-rate", "0"], 2, "positive and finite");
    analyze(&[EXAMPLE, "--scale", "nan"], 2, "--scale is NaN");
    analyze(&[EXAMPLE, "--lyapunov"], 2, "--learning-rate");
    analyze(&[EXAMPLE, "--memory-limit", "10KiB"], 2, "allowed: 10 KiB (memory_limit)");
    analyze(&[EXAMPLE, "--memory-limit", "much"], 2, "512MiB");
    analyze(&[EXAMPLE, "--tensor", "gradients"], 2, "those there are: factors, labels");
    analyze(
        &[EXAMPLE, "--labels", &fixture("labels.npy")],
        2,
        "number of labels is 3, allowed: one a sample: 100",
    );
    analyze(&["data"], 2, "is a folder");
    analyze(&["nonesuch.npy"], 1, "nonesuch.npy");
    analyze(&[&fixture("refused-nan.npy")], 1, "sample 1, factor 0, parameter 3 is NaN");
    analyze(&[&fixture("refused-objects.npy")], 2, "never unpickled");
    analyze(&["README.md"], 1, "wrong first bytes");
}

/// A target that cannot be written costs nothing that was there, and leaves nothing beside it.
#[test]
fn no_file_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("missing/report.json");
    refused(&["analyze", EXAMPLE, "-o", target.to_str().unwrap()], 1, "cannot write");
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    refused(&["analyze", EXAMPLE, "-o", occupied.to_str().unwrap()], 1, "cannot write");
    assert_eq!(names(folder.path()), [occupied], "nothing is left beside it");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = linstab(&["man"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert!(run.status.success() && run.stderr.is_empty(), "{}", stderr(&run));
}

#[test]
fn the_example_is_what_its_command_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.safetensors");
    stdout(&["example-factors", "-o", path.to_str().unwrap()]);
    let report = |file: &str| -> Value {
        serde_json::from_str(&stdout(&["analyze", file, "--format", "json", "--batch-size", "10"])).unwrap()
    };
    let (shipped, made) = (report(EXAMPLE), report(path.to_str().unwrap()));
    // Training amplifies the rounding of another machine's instructions; the minimum it finds is the same.
    let rate = |report: &Value| report["stability"][0]["max_learning_rate"].as_f64().unwrap();
    assert!((rate(&shipped) - rate(&made)).abs() < 1e-4 * rate(&shipped), "{shipped} {made}");
}

#[test]
fn maps_completions_and_the_manual_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mine.toml");
    std::fs::copy(root().join("data/configs/stability-map.toml"), &config).unwrap();
    let out = folder.path().join("map");
    let paths = [config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    stdout(&[&["map", "--quick"][..], &paths].concat());
    assert!(out.join("manifest.json").is_file() && out.join("tables").read_dir().unwrap().next().is_some());
    refused(&["map", "nonesuch.toml", "--out", out.to_str().unwrap()], 1, "nonesuch.toml");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(stdout(&["completions", shell]).contains("analyze"), "{shell}");
    }
    let manual = stdout(&["man"]);
    assert!(manual.contains(".TH linstab") && manual.contains("memory\\-limit"), "{manual}");
}

#[test]
fn help_says_units_and_examples() {
    let help = stdout(&["analyze", "--help"]);
    for part in [
        "mean-squared error",
        "[default: without-replacement]",
        "[default: 1GiB]",
        "Examples:",
        "Exit codes:",
        "2/k for k",
        "sgd: momentum (0), dampening (0), nesterov (false)",
        "reshuffle once an epoch",
        "The report in JSON",
    ] {
        assert!(help.contains(part), "`{part}` is not in:\n{help}");
    }
    let help = stdout(&["check", "--help"]);
    assert!(
        help.contains("3 some moved") && help.contains("Compared are") && help.contains("Not compared"),
        "{help}"
    );
}

/// Inner products are as good as factors, but for the number of parameters, which they do not tell.
#[test]
fn inner_products_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let (n, k, p) = (4, 2, 5);
    // Whole numbers, so that products are exact in single precision.
    let entry = |row: usize, column: usize| ((row * 7 + column * 3) % 5) as f32 - 2.0;
    let factors: Vec<f32> = (0..n * k).flat_map(|row| (0..p).map(move |column| entry(row, column))).collect();
    let product = |i: usize, j: usize| (0..p).map(|c| factors[i * p + c] * factors[j * p + c]).sum::<f32>();
    let pairs = (0..n * k).flat_map(|i| (0..n * k).map(move |j| (i, j)));
    let gram: Vec<f32> = pairs.map(|(i, j)| product(i, j)).collect();
    let file = |name: &str, shape: &[usize], entries: &[f32]| {
        let path = folder.path().join(name);
        std::fs::write(&path, encode_safetensors(&[("x", shape, entries)])).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&stdout(
            &[&["analyze"], arguments, &["--batch-size", "1,2", "--format", "json"]].concat(),
        ))
        .unwrap()
    };
    let expected = json(&[&file("factors.safetensors", &[n, k, p], &factors)]);
    for (name, shape, more) in [
        ("flat.safetensors", vec![n * k, n * k], &["--num-factors", "2"][..]),
        ("deep.safetensors", vec![n, k, n, k], &[]),
    ] {
        let path = file(name, &shape, &gram);
        let found = json(&[&["--gram", &path], more].concat());
        assert!(found["num_parameters"].is_null() && expected["num_parameters"] == p);
        assert_eq!((&found["num_samples"], &found["num_factors"]), (&n.into(), &k.into()));
        for (found, expected) in
            found["stability"].as_array().unwrap().iter().zip(expected["stability"].as_array().unwrap())
        {
            let rate = |line: &Value| line["max_learning_rate"].as_f64().unwrap();
            assert!((rate(found) - rate(expected)).abs() <= 1e-9 * rate(expected), "{found} {expected}");
        }
    }
    let crooked =
        gram.iter().enumerate().map(|(at, x)| if at == 1 { x + 1.0 } else { *x }).collect::<Vec<_>>();
    let path = file("crooked.safetensors", &[n * k, n * k], &crooked);
    refused(&["analyze", "--gram", &path], 2, "is not symmetric");
    let negative: Vec<f32> = gram.iter().map(|x| -x).collect();
    let path = file("negative.safetensors", &[n * k, n * k], &negative);
    refused(&["analyze", "--gram", &path], 2, "is not positive semidefinite");
}

/// A part of a data set speaks for it, with an error; all of it has none.
#[test]
fn a_population_has_standard_errors() {
    let json = |population: &str| -> Value {
        let arguments =
            ["analyze", EXAMPLE, "--batch-size", "10", "--format", "json", "--population", population];
        serde_json::from_str(&stdout(&arguments)).unwrap()
    };
    let (whole, part) = (json("100"), json("50000"));
    let number = |report: &Value, key: &str| report["stability"][0][key].as_f64().unwrap();
    assert!(number(&whole, "standard_error") <= 0.0 && number(&part, "standard_error") > 0.0);
    // To second moments, ten of the data set are ten of samples that stand for it: the correction takes off what they have of their own.
    let (whole, part_rate) = (number(&whole, "max_learning_rate"), number(&part, "max_learning_rate"));
    assert!((whole - part_rate).abs() < 1e-3 * whole, "{whole} {part_rate}");
    let sample = &part["responsible_samples"][0]["max_learning_rate_without"];
    assert!(sample.as_f64().unwrap() > part_rate, "{sample}");
    refused(&["analyze", EXAMPLE, "--population", "99"], 2, "--population is 99");
    refused(&["analyze", EXAMPLE, "--population", "500", "--sampling", "reshuffling"], 2, "drawn afresh");
    refused(&["analyze", EXAMPLE, "--tolerance", "1"], 2, "--tolerance is 1");
}

/// Diagnostics stand in the JSON with what they claim; without gradients their ratios are 0/0, and said to be.
#[test]
fn diagnostics_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let residuals = |name: &str, entries: &[f32]| {
        let path = folder.path().join(name);
        std::fs::write(&path, encode_safetensors(&[("residuals", &[entries.len()], entries)])).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let some: Vec<f32> = (0..100_u16).map(|i| f32::from(i % 7) - 2.0).collect();
    let (some, none) = (residuals("some.safetensors", &some), residuals("none.safetensors", &[0.0; 100]));
    let json = |path: &str| -> Vec<Value> {
        let arguments =
            ["analyze", EXAMPLE, "--batch-size", "10", "--learning-rate", "0.05", "--residuals", path];
        let text = stdout(&[&arguments[..], &["--format", "json"]].concat());
        let report: Value = serde_json::from_str(&text).unwrap();
        report["diagnostics"].as_array().unwrap().clone()
    };
    let named = |diagnostics: &[Value], name: &str| {
        diagnostics.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    let (with, without) = (json(&some), json(&none));
    for name in ["gradient_noise_interaction", "interaction_aware_sharpness", "batch_sharpness"] {
        let (there, missing) = (named(&with, name), named(&without, name));
        assert!(
            there["value"].as_f64().is_some_and(|value| value > 0.0) && there["claims"] == "estimate",
            "{there}"
        );
        assert!(missing["value"].is_null() && missing["learning_rate"].is_null(), "{missing}");
    }
    let norm = named(&with, "noise_kernel_norm");
    assert!(norm["value"].as_f64().unwrap() < 1.0 && norm["ratio_to_exact"] == 1.0, "{norm}");
    for row in &with {
        assert_eq!((&row["curvature"], &row["batch_size"]), (&"Gauss-Newton".into(), &10.into()));
        let bound = |name: &str| {
            row["claims"] == name && row["assumptions"].as_array().unwrap().iter().all(|a| a["holds"] == true)
        };
        let ratio = row["ratio_to_exact"].as_f64();
        assert!(!bound("necessary") || ratio.unwrap() > 1.0 - 1e-9, "{row}");
        assert!(!bound("sufficient") || ratio.unwrap() < 1.0 + 1e-9, "{row}");
    }
    let text = stdout(&["analyze", EXAMPLE, "--batch-size", "10", "--residuals", &none]);
    assert!(text.contains("0/0: no gradients"), "{text}");
    let (short, damaged) =
        (residuals("short.safetensors", &[1.0; 7]), residuals("nan.safetensors", &[f32::NAN; 100]));
    refused(
        &["analyze", EXAMPLE, "--residuals", &short],
        2,
        "residuals are floating-point numbers, one a factor",
    );
    refused(&["analyze", EXAMPLE, "--residuals", &damaged], 1, "NaN, allowed: finite numbers");
}
