//! The manifest of a results folder: what was run, with what, on what, and the hash of each file.
//!
//! An experiment's record names its results by content: its key is the digest of everything they are a function of. Where the key
//! is the same and the files are those of the record, there is nothing to run.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::experiment::Inputs;
use crate::files::{MANIFEST, PROGRAM};
use crate::{DriverError, Result};

/// Where a run took place. Faces fill it in: the driver does not ask the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Revision of the source that the program was built from, with `-dirty` appended if it had been changed; empty if
    /// unknown.
    pub git_revision: String,
    /// SHA-256 of the program itself: checkpoints and results are used again only by the very program that wrote them.
    pub program_sha256: String,
    /// Compiler that built the program.
    pub toolchain: String,
    /// Name and version of the dependencies that numbers and pictures depend on.
    pub dependencies: Vec<String>,
    /// Processor model.
    pub cpu: String,
    /// Operating system and architecture.
    pub platform: String,
}

/// Raise it when a field changes its meaning: results of another schema are not used again.
const SCHEMA: u32 = 3;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    schema: u32,
    program: String,
    version: String,
    pub(crate) provenance: Provenance,
    /// Reduced sizes.
    pub quick: bool,
    num_threads: usize,
    pub(crate) wall_time_secs: f64,
    pub(crate) experiments: Vec<RunRecord>,
    pub(crate) failures: Vec<FailureRecord>,
    pub(crate) files: Vec<FileRecord>,
}

/// One experiment in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name.
    pub id: String,
    /// Digest of everything its results are a function of.
    pub key: String,
    /// The result in short.
    pub headline: String,
    /// Seconds from its start to its last file, when it was run; after an interruption of the rest alone.
    pub wall_time_secs: f64,
    /// Worker threads it had.
    pub num_threads: usize,
    /// Seed, configuration and data that were run.
    #[serde(flatten)]
    pub inputs: Inputs,
}

/// An experiment that could not be completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// Its name.
    pub id: String,
    /// Why.
    pub error: String,
}

/// A file of the results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path below the results folder.
    pub(crate) path: String,
    /// The experiment that wrote it; absent if it is made of all of them.
    pub(crate) experiment: Option<String>,
    pub(crate) bytes: usize,
    sha256: String,
}

impl FileRecord {
    /// The record of a file with these contents, made of all experiments.
    pub(crate) fn new(path: &str, contents: &[u8]) -> Self {
        Self { path: path.to_owned(), experiment: None, bytes: contents.len(), sha256: sha256_hex(contents) }
    }

    /// The record of the file that lies at `path` below a folder.
    pub(crate) fn read(folder: &Path, path: &str, experiment: Option<&str>) -> Result<Self> {
        let file = folder.join(path);
        let (bytes, sha256) = digest_of_file(&file).map_err(DriverError::io("read", &file))?;
        Ok(Self { path: path.to_owned(), experiment: experiment.map(str::to_owned), bytes, sha256 })
    }

    /// Whether the file below a folder still is what it was.
    pub(crate) fn holds(&self, folder: &Path) -> bool {
        Self::read(folder, &self.path, self.experiment.as_deref()).is_ok_and(|found| found == *self)
    }
}

impl Manifest {
    /// The manifest of a run of which nothing is recorded yet.
    pub(crate) fn new(provenance: &Provenance, quick: bool, num_threads: usize) -> Self {
        Self {
            schema: SCHEMA,
            program: PROGRAM.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            provenance: provenance.clone(),
            quick,
            num_threads,
            wall_time_secs: 0.0,
            experiments: Vec::new(),
            failures: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The manifest of a results folder, if it has one of this schema.
    pub fn read(folder: &Path) -> Option<Self> {
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join(MANIFEST)).ok()?).ok()?;
        let manifest = Self::deserialize(&read).ok()?;
        // Keys that are none of ours are the work of somebody else.
        let whole = serde_json::to_value(&manifest).is_ok_and(|written| written == read);
        (whole && manifest.is_current()).then_some(manifest)
    }

    /// Whether it is one of ours, of this schema.
    pub(crate) fn is_current(&self) -> bool {
        self.schema == SCHEMA && self.program == PROGRAM
    }

    /// The file's text.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| DriverError::Encode { what: "the manifest", message: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The record of an experiment.
    pub fn record(&self, id: &str) -> Option<&RunRecord> {
        self.experiments.iter().find(|record| record.id == id)
    }
}

/// The digest of everything an experiment's results are a function of.
pub(crate) fn key(id: &str, inputs: &Inputs, quick: bool, program: &str) -> String {
    let Inputs { seed, config, data } = inputs;
    let version = env!("CARGO_PKG_VERSION");
    let parts = serde_json::json!({
        "schema": SCHEMA, "version": version, "program": program, "experiment": id, "quick": quick, "seed": seed,
        "config": config, "data": data,
    });
    sha256_hex(parts.to_string().as_bytes())
}

/// SHA-256 in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Length and SHA-256 of a file, which may be larger than the memory.
fn digest_of_file(path: &Path) -> io::Result<(usize, String)> {
    let (mut file, mut hasher, mut length) = (BufReader::new(File::open(path)?), Sha256::new(), 0);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok((length, hex(&hasher.finalize())));
        }
        hasher.update(bytes);
        let used = bytes.len();
        length += used;
        file.consume(used);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
