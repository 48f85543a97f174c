//! Configurations, golden thresholds, baselines, manifests, checkpoints and the folder of shards.

use std::path::{Path, PathBuf};

use linstab_driver::checkpoint::{self, Identity};
use linstab_driver::config_file::{self, Checker, Configuration};
use linstab_driver::manifest::{Manifest, sha256_hex};
use linstab_experiments::{
    coherence_dynamics, digits, edge_test, golden, local_convergence, published_criteria, solutions,
    stability_map,
};
use serde::Serialize;
use serde_json::Value;

use super::{Input, Kind, Reader, Verdict, lost, refused};
use linstab_tests::root;

pub(super) fn readers() -> Vec<Reader> {
    let config =
        |name: &str| std::fs::read(root().join("data/configs").join(name)).expect("a shipped configuration");
    let text = |name, weight, originals, read: fn(&Input<'_>) -> Verdict| Reader {
        name,
        weight,
        kind: Kind::Text,
        originals,
        repair: |bytes| bytes,
        read: Box::new(read),
    };
    vec![
        text(
            "configurations of the map",
            2,
            vec![config("stability-map.toml")],
            configuration::<stability_map::Config>,
        ),
        text(
            "configurations of trainings",
            1,
            vec![config("coherence-dynamics.toml")],
            configuration::<coherence_dynamics::Config>,
        ),
        text(
            "configurations of solutions",
            1,
            vec![config("solutions.toml")],
            configuration::<solutions::Config>,
        ),
        text(
            "configurations of local convergence",
            1,
            vec![config("local-convergence.toml")],
            configuration::<local_convergence::Config>,
        ),
        text("configurations of digits", 1, vec![config("digits.toml")], configuration::<digits::Config>),
        text(
            "configurations of published criteria",
            1,
            vec![config("published-criteria.toml")],
            configuration::<published_criteria::Config>,
        ),
        text(
            "configurations of the edge test",
            1,
            vec![config("edge-test.toml")],
            configuration::<edge_test::Config>,
        ),
        text(
            "configurations of the ledger",
            1,
            vec![config("claims.toml")],
            configuration::<linstab_claims::Config>,
        ),
        text("golden thresholds", 1, vec![GOLDEN.as_bytes().to_vec()], golden_thresholds),
        text("baselines", 4, vec![baseline()], |input| baselines(input.bytes)),
        text("manifests", 2, vec![manifest()], manifests),
        Reader {
            name: "checkpoints",
            weight: 10,
            kind: Kind::Binary,
            originals: vec![a_checkpoint()],
            repair: repair_checkpoint,
            read: Box::new(checkpoints),
        },
    ]
}

/// A folder in memory, where there is one.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    parent.join(format!("linstab-robustness-{}", std::process::id()))
}

/// Folders for what this thread reads, one for each name of a file: some readers take all files of a folder. They are removed when the
/// thread ends.
pub(super) struct Own(PathBuf);

impl Own {
    fn new() -> Self {
        let own = folder().join(format!("{:?}", std::thread::current().id()));
        std::fs::create_dir_all(&own).expect("a writable temporary folder");
        Self(own)
    }

    pub(super) fn with<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
        thread_local! {
            static OWN: Own = Own::new();
        }
        OWN.with(|own| {
            let folder = own.0.join(format!("of-{name}"));
            std::fs::create_dir_all(&folder).expect("a writable temporary folder");
            std::fs::write(folder.join(name), bytes).expect("a writable temporary folder");
            read(&folder)
        })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_dir(folder());
    }
}

fn configuration<C: Configuration + Serialize>(input: &Input<'_>) -> Verdict {
    let Ok(text) = std::str::from_utf8(input.bytes) else {
        // Which the file system's reader refuses.
        return Ok(false);
    };
    let path = Path::new("x.toml");
    let read = config_file::parse::<C>(path, text).and_then(|config| {
        config.check(&Checker::new(path))?;
        Ok(config)
    });
    match read {
        Ok(config) => {
            let table: toml::Table = text.parse().map_err(|error| format!("accepted, although {error}"))?;
            same(&serde_json::to_value(table), &serde_json::to_value(config))
        }
        Err(error) => refused(error.with_causes()),
    }
}

/// What was read must be there when it is written again.
fn same(read: &serde_json::Result<Value>, written: &serde_json::Result<Value>) -> Verdict {
    match (read, written) {
        (Ok(read), Ok(written)) => lost(read, written, "").map_or(Ok(true), Err),
        _ => Err("what was read cannot be written".to_owned()),
    }
}

/// Three cases that take no time.
const GOLDEN: &str = r#"# golden thresholds
[[threshold]]
name = "of the family"
ensemble = { shared-direction = { num_samples = 10, coherence = 3, sharpness = 2.0 } }
sampling = "without-replacement"
batch_size = 2
quantity = "max-learning-rate"
value = 0.5
rtol = 1e-9
source = "a case"

[[threshold]]
name = "scalars"
ensemble = { scalars = [1.0, 1.0, 1.0, 3.0] }
sampling = "bernoulli"
batch_size = 1
learning_rate = 0.5
quantity = "mean-square-growth"
value = 1.0
rtol = 1e-9
source = "a case"

[[threshold]]
name = "factors"
ensemble = { factors = [[[1.0, 2.0]], [[0.5, -1.0]]] }
sampling = "with-replacement"
batch_size = 1
optimizer = "sgd:momentum=0.5"
quantity = "max-learning-rate"
value = 0.25
rtol = 1e-9
source = "a case"
"#;

/// Every case that is read is computed; that none is skipped is told by their number, names and values.
fn golden_thresholds(input: &Input<'_>) -> Verdict {
    Own::with("golden.toml", input.bytes, |folder| match golden::compare(folder) {
        Ok(found) => {
            let text = String::from_utf8_lossy(input.bytes);
            let table: toml::Table = text.parse().map_err(|error| format!("accepted, although {error}"))?;
            let cases = table["threshold"].as_array().map_or(&[][..], Vec::as_slice);
            if cases.len() != found.len() {
                return Err(format!("{} of {} cases are held", found.len(), cases.len()));
            }
            let lost = found.iter().zip(cases).find_map(|(golden::GoldenNumber { comparison, .. }, case)| {
                let held = serde_json::json!({
                    "name": comparison.name, "value": comparison.expected, "rtol": comparison.rtol
                });
                lost(&held, &serde_json::to_value(case).unwrap_or_default(), "")
            });
            lost.map_or(Ok(true), Err)
        }
        Err(error) => {
            let text = format!("{error}");
            // Its folder is named after the process and the thread.
            refused(text)
        }
    })
}

/// A report of a small analysis.
fn baseline() -> Vec<u8> {
    use linstab_analysis::{Grams, Request, Sizes, analyse};
    use linstab_linalg::Mat;
    let rows: [[f64; 3]; 4] = [[1.0, 2.0, 0.0], [0.5, -1.0, 1.0], [0.25, 0.0, 1.0], [3.0, 1.0, -1.0]];
    let product = |i: usize, j: usize| rows[i].iter().zip(rows[j]).map(|(x, y)| x * y).sum::<f64>();
    let gram = Mat::from_fn(4, 4, product);
    let sizes = Sizes { num_samples: 4, num_factors: 1, num_parameters: Some(3) };
    let request = Request { batch_sizes: vec![1, 2], learning_rate: Some(0.05), ..Request::default() };
    let findings = analyse(Grams { plain: gram.as_ref(), preconditioned: None }, sizes, &request)
        .expect("a small analysis");
    let mut text = serde_json::to_string_pretty(&findings.report).expect("a report is JSON");
    text.push('\n');
    text.into_bytes()
}

fn baselines(bytes: &[u8]) -> Verdict {
    match linstab_analysis::baseline::parse(Path::new("x.json"), bytes) {
        Ok(report) => same(&serde_json::from_slice(bytes), &serde_json::to_value(report)),
        Err(error) => refused(error),
    }
}

/// A manifest with a record of everything.
fn manifest() -> Vec<u8> {
    serde_json::json!({
        "schema": 3, "program": "linstab", "version": "0.1.0",
        "provenance": {
            "git_revision": "0123", "program_sha256": "4567", "toolchain": "rustc", "dependencies": ["faer 0.24.4"], "cpu": "a", "platform": "b"
        },
        "quick": true, "num_threads": 2, "wall_time_secs": 1.5,
        "experiments": [{
            "id": "one", "key": "89ab", "headline": "all is well", "wall_time_secs": 1.25, "num_threads": 2, "seed": 7,
            "config": {"num_samples": 3}, "data": [{"path": "x.csv", "sha256": "cdef"}]
        }],
        "failures": [{"id": "two", "error": "none"}],
        "files": [{"path": "tables/one.csv", "experiment": "one", "bytes": 12, "sha256": sha256_hex(b"one")}]
    })
    .to_string()
    .replace(',', ",\n")
    .into_bytes()
}

/// A manifest that is none means that there are no results to use again: it is not said why.
fn manifests(input: &Input<'_>) -> Verdict {
    Own::with("manifest.json", input.bytes, |folder| match Manifest::read(folder) {
        Some(manifest) => same(&serde_json::from_slice(input.bytes), &serde_json::to_value(manifest)),
        None => Ok(false),
    })
}

type Cells = Vec<(u64, Option<f64>, String)>;

fn identity() -> Identity {
    Identity::new("program", &["experiment", "configuration"])
}

fn a_checkpoint() -> Vec<u8> {
    let cells: Cells = vec![
        (0, Some(1.5), "a".to_owned()),
        (1, None, String::new()),
        (7, Some(f64::NEG_INFINITY), "cells".to_owned()),
    ];
    written(&cells)
}

fn written(cells: &Cells) -> Vec<u8> {
    Own::with("checkpoint", b"", |folder| {
        let path = folder.join("checkpoint");
        checkpoint::write(&path, identity(), cells).expect("a writable temporary folder");
        std::fs::read(path).expect("what was written")
    })
}

/// Bytes before the payload: magic, version, two digests, length, digest.
const HEADER: usize = 8 + 4 + 32 + 32 + 8 + 32;

/// Gives the payload the length and the digest that it has.
fn repair_checkpoint(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::Digest as _;
    let original = a_header();
    let Some(payload) = bytes.get(HEADER..) else { return bytes };
    let (length, digest) = ((payload.len() as u64).to_le_bytes(), sha2::Sha256::digest(payload));
    bytes[..76].copy_from_slice(&original[..76]);
    bytes[76..84].copy_from_slice(&length);
    bytes[84..HEADER].copy_from_slice(&digest);
    bytes
}

fn a_header() -> Vec<u8> {
    static HEAD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    HEAD.get_or_init(a_checkpoint).clone()
}

/// What is accepted is written again as it was.
fn checkpoints(input: &Input<'_>) -> Verdict {
    let cells: Result<Cells, checkpoint::Fault> =
        checkpoint::Items::new(input.bytes, identity()).and_then(Iterator::collect);
    match cells {
        Ok(cells) if written(&cells) == input.bytes => Ok(true),
        Ok(cells) => Err(format!("read as {cells:?}")),
        Err(checkpoint::Fault::Refused(reason)) => refused(reason),
        Err(checkpoint::Fault::Io(error)) => Err(error.to_string()),
    }
}
