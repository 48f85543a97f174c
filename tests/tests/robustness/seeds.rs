//! Every experiment from many seeds, in the program, with reduced sizes.

use std::path::Path;

use rayon::prelude::*;

use crate::parts::{Effort, Line};
use crate::random::Random;
use linstab_tests::{output, stderr};

/// Experiments are run one by one, so that each has its line.
pub(crate) const EXPERIMENTS: [&str; 6] =
    ["stability-map", "local-convergence", "coherence-dynamics", "solutions", "digits", "claims"];

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    // A single seed is for the tests of every change, in which the last two take too long.
    let experiments = if effort.count > 1 { &EXPERIMENTS[..] } else { &EXPERIMENTS[..4] };
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
            what: format!("seeds of {id}, reduced sizes"),
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
    if id == "claims" {
        verdicts(&json(&out.join("tables/claims.json"))?).map_err(|why| failed(&why))
    } else {
        Ok(0)
    }
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

fn json(path: &Path) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
