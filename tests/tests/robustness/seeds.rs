//! Every experiment from many seeds, in the program, with reduced sizes.

use std::path::Path;

use rayon::prelude::*;

use crate::parts::{Effort, Line};
use crate::random::Random;
use linstab_driver::Experiment;
use linstab_tests::{output, stderr};

/// Longer than this takes too long for the tests of every change, of a core.
const LONG: f64 = 5.0;

/// All that the program can run, one by one, so that each has its line.
pub(crate) fn experiments(longest: f64) -> Vec<&'static str> {
    let all = linstab_claims::experiments().into_iter();
    all.filter(|experiment| experiment.core_seconds(true) <= longest).map(Experiment::id).collect()
}

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    // A single seed is for the tests of every change.
    let mut experiments = experiments(if effort.count > 1 { f64::INFINITY } else { LONG });
    experiments.retain(|id| effort.wants(&what(id)));
    let attempts: Vec<Vec<Option<Result<usize, String>>>> = (0..effort.count)
        .into_par_iter()
        .map(|index| {
            let seed = Random::of(effort.seed, index).word() >> 12;
            experiments.iter().map(|id| effort.goes_on().then(|| complete(effort, id, seed))).collect()
        })
        .collect();
    let line = |(at, id): (usize, &&str)| {
        let outcomes: Vec<_> = attempts.iter().filter_map(|outcomes| outcomes[at].as_ref()).collect();
        Line {
            what: what(id),
            count: outcomes.len() as u64,
            failures: outcomes.iter().filter_map(|outcome| (*outcome).clone().err()).collect(),
            detail: match outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).sum::<usize>() {
                0 => String::new(),
                moved => format!("{moved} verdicts on measurements moved, as few repetitions allow"),
            },
        }
    };
    experiments.iter().enumerate().map(line).collect()
}

fn what(id: &str) -> String {
    format!("seeds of {id}, reduced sizes")
}

/// Whether a run ends well, its results are all there, and no proven verdict of the ledger depends on the seed.
fn complete(effort: Effort<'_>, id: &str, seed: u64) -> Result<usize, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (out, seed) = (folder.path().join("results"), seed.to_string());
    let arguments = ["reproduce", "--quick", "--quiet", "--threads", "1", "--only", id, "--seed", &seed];
    let out_text = out.to_str().unwrap_or_default();
    let run =
        output(effort.linstab(&[&arguments[..], &["--configs", "data/configs", "--out", out_text]].concat()));
    let failed = |why: &str| format!("{id}, seed {seed}: {why}");
    if !run.status.success() || !run.stderr.is_empty() {
        return Err(failed(&format!("{} {}", run.status, stderr(&run).trim())));
    }
    let manifest = json(&out.join("manifest.json"))?;
    let files = manifest["files"].as_array().map_or(0, Vec::len);
    if files < 4 || manifest["failures"].as_array().is_none_or(|failures| !failures.is_empty()) {
        return Err(failed("the manifest names failures, or hardly a file"));
    }
    let table = |name: &str| json(&out.join("tables").join(name));
    let judged = match id {
        "claims" => table("claims.json").and_then(|rows| verdicts(&rows)),
        "published-criteria" => table("published-criteria-summary.json").and_then(|rows| bounds(&rows)),
        _ => Ok(0),
    };
    judged.map_err(|why| failed(&why))
}

/// Holds that no criterion that is proven to be necessary lies below the exact threshold, nor a sufficient one above it.
fn bounds(rows: &serde_json::Value) -> Result<usize, String> {
    // Both are found by bisection, to many more digits.
    const ROUNDING: f64 = 1e-8;
    for row in rows.as_array().filter(|rows| !rows.is_empty()).ok_or("no criteria")? {
        let ratio =
            |key: &str| row[key].as_f64().ok_or_else(|| format!("{key} of {} is none", row["criterion"]));
        let (smallest, largest) = (ratio("smallest_ratio")?, ratio("largest_ratio")?);
        let holds = match row["claims"].as_str() {
            Some("necessary") => smallest >= 1.0 - ROUNDING,
            Some("sufficient") => largest <= 1.0 + ROUNDING,
            Some("estimate") => true,
            _ => false,
        };
        if !holds {
            return Err(format!("{row}"));
        }
    }
    Ok(0)
}

/// How many verdicts on what the paper measured come out otherwise, which few repetitions allow. Those on what it proves must not.
fn verdicts(rows: &serde_json::Value) -> Result<usize, String> {
    let mut measured = 0;
    for row in rows.as_array().filter(|rows| !rows.is_empty()).ok_or("the ledger is empty")? {
        let [found, expected] =
            ["verdict", "expected_verdict"].map(|key| row[key].as_str().unwrap_or_default());
        let on_measurements = |verdict: &str| ["supported", "not-supported"].contains(&verdict);
        if found != expected && on_measurements(found) && on_measurements(expected) {
            measured += 1;
        } else if found != expected {
            return Err(format!("{} is {found}, expected {expected}", row["id"]));
        }
    }
    Ok(measured)
}

/// A negative control: a verdict on a proof that moved, and a proven criterion on the wrong side, are found out.
pub(crate) fn controls() -> Vec<Line> {
    let ledger = |found: &str, expected: &str| {
        verdicts(&serde_json::json!([{"id": "one", "verdict": found, "expected_verdict": expected}]))
    };
    let criterion = |claims: &str, smallest: f64, largest: f64| {
        let row = serde_json::json!({"claims": claims, "smallest_ratio": smallest, "largest_ratio": largest});
        bounds(&serde_json::json!([row])).is_ok()
    };
    let expected = [
        ("a proof whose verdict moved", ledger("refuted", "holds").is_err()),
        ("a measurement whose verdict moved", ledger("not-supported", "supported") == Ok(1)),
        ("a necessary criterion below the threshold", !criterion("necessary", 0.9, 1.1)),
        ("a sufficient criterion above it", !criterion("sufficient", 0.9, 1.1)),
        ("an estimate on both sides", criterion("estimate", 0.9, 1.1)),
        ("criteria on their sides", criterion("necessary", 1.0, 1.1) && criterion("sufficient", 0.9, 1.0)),
    ];
    let count = expected.len() as u64;
    let failures =
        expected.into_iter().filter(|(_, found)| !found).map(|(what, _)| what.to_owned()).collect();
    vec![Line { what: "control of seeds".to_owned(), count, failures, detail: String::new() }]
}

fn json(path: &Path) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
