//! `linstab analyze`: what a reviewer asked of outputs, ranges, units, memory and words.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::Path;
use std::process::Stdio;

use linstab_tests::analyze::{EXAMPLE, fixture, names, npy, refused, stdout};
use linstab_tests::{linstab, output, root, stderr};
use serde_json::Value;

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[&["analyze", "--quiet", "--format", "json"], arguments].concat())).unwrap()
}

/// Links stay links, permissions stay, long names are no trouble, a pipe is written to, and nothing is left beside.
#[cfg(unix)]
#[test]
fn an_output_is_what_it_was() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let path = |name: &str| folder.path().join(name);
    let to = |path: &Path| {
        stdout(&["analyze", EXAMPLE, "--batch-size", "10", "--quiet", "-o", path.to_str().unwrap()]);
    };
    // A link to a file in another folder, and one to a file that is not there yet.
    std::fs::create_dir(path("elsewhere")).unwrap();
    std::fs::write(path("elsewhere/old"), "old").unwrap();
    std::fs::set_permissions(path("elsewhere/old"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("elsewhere/old", path("link")).unwrap();
    symlink("elsewhere/new", path("dangling")).unwrap();
    to(&path("link"));
    to(&path("dangling"));
    for (link, file) in [("link", "elsewhere/old"), ("dangling", "elsewhere/new")] {
        assert!(path(link).is_symlink() && !path(file).is_symlink(), "{link} stays a link");
        assert!(text(&path(file)).starts_with("stable at batch size 10"), "{file} is written");
    }
    let mode = std::fs::metadata(path("elsewhere/old")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the permissions of the old file");
    // The longest name that file systems take.
    let long = path(&"n".repeat(255));
    to(&long);
    assert!(text(&long).starts_with("stable"), "a name of 255 characters");
    assert_eq!(names(&path("elsewhere")).len() + names(folder.path()).len(), 2 + 4, "nothing is left beside");
    // A named pipe stays one.
    let pipe = path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success(), "a pipe is made");
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    to(&pipe);
    assert!(reader.join().unwrap().starts_with("stable"), "the reader gets the report");
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo(), "it is a pipe still");
}

/// Neither the factors nor the labels nor another output are overwritten, by whatever name; and `-` is standard output, not a file of that name.
#[test]
fn an_input_is_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let factors = npy(folder.path(), "factors.npy", (2, 1), &[1.0, 2.0]);
    let before = std::fs::read(&factors).unwrap();
    let roundabout = folder.path().join(".").join("factors.npy");
    refused(&["analyze", &factors, "-o", roundabout.to_str().unwrap()], 2, "a file that is not read");
    assert_eq!(std::fs::read(&factors).unwrap(), before, "as it was");
    let labels = fixture("labels.npy");
    refused(
        &["analyze", &fixture("cube-f8-little-C-v1.npy"), "--labels", &labels, "-o", &labels],
        2,
        "a file that is not read",
    );
    let page = folder.path().join("page.html").display().to_string();
    refused(
        &["analyze", &factors, "--report", &page, "-o", &page],
        2,
        "a file that nothing else is written to",
    );
    let mut command = linstab(&["analyze", "factors.npy", "-o", "-", "--quiet"]);
    command.current_dir(folder.path());
    let run = output(command);
    assert!(String::from_utf8_lossy(&run.stdout).starts_with("stable"), "{}", stderr(&run));
    assert_eq!(names(folder.path()).len(), 1, "no file called -");
}

/// Factors say themselves how many a sample has.
#[test]
fn only_inner_products_are_told_their_factors() {
    refused(&["analyze", EXAMPLE, "--num-factors", "3"], 2, "cannot be used with");
}

/// Standard error that is closed, or a pipe that nobody reads, changes neither the result nor the exit code.
#[cfg(unix)]
#[test]
fn nobody_need_listen() {
    let good = ["analyze", EXAMPLE, "--batch-size", "10"];
    let expected = stdout(&good);
    let program = linstab(&[]).get_program().to_owned();
    let cases: [(&[&str], i32); 4] = [
        (&good, 0),
        (&["analyze", "nonesuch.npy"], 1),
        (&["analyze", EXAMPLE, "--batch-size", "0"], 2),
        (&["analyze", "--no-such-option"], 2),
    ];
    for (arguments, code) in cases {
        let mut closed = std::process::Command::new("sh");
        closed.args(["-c", r#""$0" "$@" 2>&-"#]).arg(&program).args(arguments).current_dir(root());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut broken = linstab(arguments);
        broken.stderr(writer);
        for (how, mut command) in [("closed", closed), ("broken", broken)] {
            let run = command.stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
            assert_eq!(run.status.code(), Some(code), "{arguments:?}, {how}");
            let said = String::from_utf8_lossy(&run.stdout);
            assert_eq!(said, if code == 0 { &expected } else { "" }, "{arguments:?}, {how}");
        }
    }
}

/// Exponents that a fixed burn-in misses by fifty standard errors: exact for the full batch, within their errors otherwise.
#[test]
fn exponents_are_not_biased_by_slow_directions() {
    let line =
        |arguments: &[&str]| json(&[arguments, &["--lyapunov"]].concat())["stability"][0]["lyapunov"].clone();
    let number = |line: &Value, key: &str| line[key].as_f64().unwrap();
    // max ln |1 - eta lambda| over the eigenvalues of the digits, by NumPy in double precision.
    let full = line(&[EXAMPLE, "--batch-size", "100", "--learning-rate", "0.05"]);
    assert!((number(&full, "mean") + 6.35e-6).abs() < 0.01e-6, "{full}");
    assert!(number(&full, "standard_error").abs() <= 0.0 && full["settled"] == true, "{full}");
    // Curvatures 1, 1e-4 and 1e-8, one of them a step: the slowest direction moves every third step.
    let folder = tempfile::tempdir().unwrap();
    let slow = npy(folder.path(), "slow.npy", (3, 3), &[1.0, 0.0, 0.0, 0.0, 1e-2, 0.0, 0.0, 0.0, 1e-4]);
    let found = line(&[&slow, "--batch-size", "1", "--learning-rate", "1.2"]);
    let exact = (-1.2e-8_f64).ln_1p() / 3.0;
    let error = (number(&found, "mean") - exact).abs();
    assert!(
        error <= 5.0 * number(&found, "standard_error") + 1e-9 && error < 1e-8,
        "{found}, exactly {exact}"
    );
}

/// Entries whose squares leave the range of numbers are refused by name; all that is advertised works, in the same digits.
#[test]
fn units_are_within_a_stated_range() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [1.0, 0.5, 0.3, 0.7, 0.0, 0.2];
    let scaled = |exponent: i32| {
        let entries = entries.map(|entry| entry * 10.0_f64.powi(exponent));
        npy(folder.path(), &format!("{exponent}.npy"), (3, 2), &entries)
    };
    for exponent in [-300, -170, -155, -60, 60, 155, 300] {
        refused(&["analyze", &scaled(exponent)], 2, "the largest squared length of a factor");
    }
    for scale in ["1e308", "1e-308"] {
        refused(&["analyze", &scaled(0), "--scale", scale], 2, "the largest squared length of a factor");
    }
    let given = |exponent: i32, rho: &str| {
        json(&[&scaled(exponent), "--batch-size", "1,2", "--rho-over-alpha", rho, "--momentum", "0.5"])
    };
    let reference = given(0, "0.1");
    for exponent in [-49, -30, -10, 10, 30, 49] {
        let report = given(exponent, &format!("1e{}", -1 - 2 * exponent));
        let unit = 10.0_f64.powi(2 * exponent);
        let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * expected.abs();
        for key in ["sharpness", "trace", "max_sample_sharpness"] {
            let (found, expected) = (report[key].as_f64().unwrap(), reference[key].as_f64().unwrap());
            assert!(near(found, unit * expected), "{key} at 1e{exponent}: {found}");
        }
        for (line, other) in
            report["stability"].as_array().unwrap().iter().zip(reference["stability"].as_array().unwrap())
        {
            for key in ["max_learning_rate", "gradient_descent_limit"] {
                let (found, expected) = (line[key].as_f64().unwrap(), other[key].as_f64().unwrap());
                assert!(near(found, expected / unit), "{key} at 1e{exponent}: {line}");
            }
            assert_eq!(line["limited_by"], other["limited_by"], "1e{exponent}");
        }
    }
    let zero = npy(folder.path(), "zero.npy", (2, 2), &[0.0; 4]);
    let text = stdout(&["analyze", &zero, "--quiet"]);
    assert!(text.starts_with("no curvature at all") && text.contains("trace 0,"), "{text}");
}

/// Samples that coincide leave no noise; orthogonal ones leave little else. Shares of the noise sum to one.
#[test]
fn what_limits_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let same = npy(folder.path(), "same.npy", (4, 1), &[1.0; 4]);
    let mut identity = [0.0; 64];
    for i in 0..8 {
        identity[9 * i] = 1.0;
    }
    let apart = npy(folder.path(), "apart.npy", (8, 8), &identity);
    for (file, share, cause) in [(&same, 1.0, "sharpness"), (&apart, 1.0 / 8.0, "gradient-noise")] {
        let report =
            json(&[file, "--batch-size", "1", "--momentum", "0.9", "--rho-over-alpha", "0.1", "--top", "8"]);
        for line in report["stability"].as_array().unwrap() {
            assert_eq!(line["limited_by"], cause, "{line}");
        }
        let found = report["stability"][0]["full_batch_share"].as_f64().unwrap();
        assert!((found - share).abs() < 1e-9, "{report}");
        let shares = report["responsible_samples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sample| sample["share"].as_f64().unwrap());
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9, "{report}");
    }
    let text = stdout(&["analyze", &same, "--batch-size", "4", "--quiet"]);
    assert!(text.contains("no single sample is responsible"), "{text}");
    let text = stdout(&["analyze", &apart, "--batch-size", "2,2,1", "--sampling", "bernoulli", "--quiet"]);
    let once = json(&[&apart, "--batch-size", "2,2,1"]);
    assert_eq!(once["stability"].as_array().unwrap().len(), 2, "each size once: {once}");
    for part in ["counted from 0", "over exact", "Theorem C.8 part 4", "is the full batch's"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// What is printed as stable is stable.
#[test]
fn thresholds_are_printed_from_below() {
    let exact = json(&[EXAMPLE, "--batch-size", "10"])["stability"][0]["max_learning_rate"].as_f64().unwrap();
    let text = stdout(&["analyze", EXAMPLE, "--batch-size", "10", "--quiet"]);
    let shown = text.split("up to learning rate ").nth(1).unwrap().split([' ', ',']).next().unwrap();
    let shown: f64 = shown.parse().unwrap();
    assert!(shown <= exact && shown > 0.999 * exact, "{shown} for {exact}");
}

/// One message: what is needed at least, which then is enough.
#[test]
fn memory_that_is_named_is_enough() {
    for file in [EXAMPLE, "-"] {
        let run = |limit: &str| {
            let mut command = linstab(&["analyze", file, "--batch-size", "1", "--memory-limit", limit]);
            command.stdin(
                std::fs::OpenOptions::new().read(true).open(fixture("cube-f8-little-C-v1.npy")).unwrap(),
            );
            output(command)
        };
        let message = stderr(&run(if file == "-" { "1KiB" } else { "1" }));
        let (_, rest) = message.split_once("needs at least ").unwrap();
        let needed = rest.split(" of memory").next().unwrap();
        assert!(run(needed).status.success(), "{message}");
    }
}

/// A file eight times as large as the limit, in many blocks: the peak stays below it.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_is_allowed_is_not_exceeded() {
    const LIMIT: f64 = 30.0;
    let folder = tempfile::tempdir().unwrap();
    let (rows, columns) = (250, 120_000);
    let entries: Vec<f64> = (0..rows * columns).map(|at| ((at * 7919) % 1009) as f64 - 504.0).collect();
    let file = npy(folder.path(), "large.npy", (rows, columns), &entries);
    let limit = format!("{LIMIT}MiB");
    let arguments =
        ["analyze", &file, "--batch-size", "1", "--threads", "1", "--quiet", "--memory-limit", &limit];
    let mut child = linstab(&arguments).stdout(Stdio::null()).spawn().unwrap();
    let mut peak: f64 = 0.0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        // A high-water mark: the last look counts, so rare ones will do.
        if let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            peak = line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success(), "analysed");
    assert!((5.0..=LIMIT).contains(&peak), "{peak} MiB of {LIMIT}");
}

/// Baselines that are none, or of something unknown, are refused in a line that says what is wrong.
#[test]
fn bad_baselines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("baseline.json");
    let check = |text: &str, expected: &str| {
        std::fs::write(&path, text).unwrap();
        refused(&["check", EXAMPLE, "--against", path.to_str().unwrap()], 2, expected);
    };
    for nothing in ["[]", "{}", "null", "3"] {
        check(nothing, "names no schema");
    }
    let report = json(&[EXAMPLE, "--batch-size", "10"]);
    let with = |key: &str, value: Value| {
        let mut report = report.clone();
        report["stability"][0][key] = value;
        report.to_string()
    };
    check(&with("max_learning_rate", Value::Null), "null is no number");
    check(&with("max_learning_rate", "NaN".into()), "max learning rate of NaN");
    check(&with("max_learning_rate", "much".into()), "much is no number");
    check(&with("optimizer", "sdg".into()), "unknown optimizer `sdg`, did you mean `sgd`?");
    check(&with("optimizer", "adam".into()), "preconditioner is missing");
    check(&with("sampling", "shuffled".into()), "unknown sampling scheme `shuffled`");
    // Other numbers than thresholds are held, too.
    for key in ["trace", "max_sample_sharpness", "num_parameters"] {
        let mut report = report.clone();
        report[key] = 7.into();
        std::fs::write(&path, report.to_string()).unwrap();
        let run = output(linstab(&["check", EXAMPLE, "--against", path.to_str().unwrap()]));
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.code() == Some(3) && text.contains("1 moved") && text.contains(key), "{text}");
    }
}

/// What a terminal would act on is written out.
#[test]
fn control_characters_are_shown() {
    refused(&["analyze", "no\nsuch\u{1b}[31m.npy"], 1, "no\\nsuch\\u{1b}[31m.npy");
    refused(&["analyze", EXAMPLE, "--tensor", "a\nb"], 2, "`a\\nb`");
}

#[test]
fn the_manual_keeps_the_lines_of_examples() {
    let manual = stdout(&["man"]);
    let (_, after) = manual.split_once(".SH EXAMPLES AND NOTES\n.nf\n").unwrap();
    assert!(after.contains("\n.fi\n") && !manual.contains(".SH EXTRA"), "{after}");
    assert_eq!(manual.matches(".nf\n").count(), manual.matches(".fi\n").count(), "each block ends");
}
