//! Every experiment from many seeds, in the program, with reduced sizes.

use std::path::Path;

use rayon::prelude::*;

use super::{Effort, Line, Random};
use crate::{output, stderr};

/// Experiments are run one by one, so that each has its line.
pub(super) const EXPERIMENTS: [&str; 6] =
    ["stability-map", "local-convergence", "coherence-dynamics", "solutions", "digits", "claims"];

pub(super) fn run(effort: Effort<'_>) -> Vec<Line> {
    let attempts: Vec<Vec<Option<Result<(), String>>>> = (0..effort.count)
        .into_par_iter()
        .map(|index| {
            let seed = Random::of(effort.seed, index).word() >> 12;
            EXPERIMENTS.iter().map(|id| effort.goes_on().then(|| complete(effort, id, seed))).collect()
        })
        .collect();
    let line = |(at, id): (usize, &&str)| {
        let outcomes: Vec<_> = attempts.iter().filter_map(|outcomes| outcomes[at].as_ref()).collect();
        Line {
            what: format!("seeds of {id}, reduced sizes"),
            count: outcomes.len() as u64,
            failures: outcomes.into_iter().filter_map(|outcome| outcome.clone().err()).collect(),
            detail: String::new(),
        }
    };
    EXPERIMENTS.iter().enumerate().map(line).collect()
}

/// Whether a run ends well, its results are all there, and no verdict of the ledger depends on the seed.
fn complete(effort: Effort<'_>, id: &str, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (out, seed) = (folder.path().join("results"), seed.to_string());
    let arguments = ["reproduce", "--quick", "--quiet", "--threads", "1", "--only", id, "--seed", &seed];
    let out_text = out.to_str().unwrap_or_default();
    let run = output(effort.linstab(&[&arguments[..], &["--configs", "data/configs", "--out", out_text]].concat()));
    let failed = |why: &str| Err(format!("{id}, seed {seed}: {why}"));
    if !run.status.success() || !run.stderr.is_empty() {
        return failed(&format!("{} {}", run.status, stderr(&run).trim()));
    }
    let manifest = std::fs::read(out.join("manifest.json")).map_err(|error| error.to_string())?;
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
    let files = manifest["files"].as_array().map_or(0, Vec::len);
    if files < 4 || manifest["failures"].as_array().is_none_or(|failures| !failures.is_empty()) {
        return failed("the manifest names failures, or hardly a file");
    }
    match id {
        "claims" => verdicts(&out).or_else(|why| failed(&why)),
        _ => Ok(()),
    }
}

/// Every verdict of the ledger is the expected one.
fn verdicts(out: &Path) -> Result<(), String> {
    let table = std::fs::read(out.join("tables/claims.json")).map_err(|error| error.to_string())?;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&table).map_err(|error| error.to_string())?;
    let moved: Vec<String> = rows
        .iter()
        .filter(|row| row["verdict"] != row["expected_verdict"])
        .map(|row| format!("{} is {}, expected {}", row["id"], row["verdict"], row["expected_verdict"]))
        .collect();
    if moved.is_empty() && !rows.is_empty() { Ok(()) } else { Err(moved.join("; ")) }
}
