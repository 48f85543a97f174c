//! The manifest of a results folder: what was run, with what, on what, and the hash of each file.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::output::ResultsFolder;
use crate::{ExperimentError, Result};

/// Where a run took place. Faces fill it in: the driver does not ask the environment.
#[derive(Clone, Debug, Serialize)]
pub struct Provenance {
    /// Revision of the source that the program was built from, with `-dirty` appended if it had been changed; empty if
    /// unknown.
    pub git_revision: String,
    /// SHA-256 of the program itself: a checkpoint is continued only by the very program that wrote it.
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

/// What marks a manifest, and the folder that holds it, as ours.
pub(crate) const PROGRAM: &str = "linstab";

#[derive(Serialize)]
struct Manifest<'a> {
    schema: u32,
    program: &'static str,
    version: &'static str,
    provenance: &'a Provenance,
    quick: bool,
    num_threads: usize,
    wall_time_secs: f64,
    experiments: &'a [RunRecord],
    files: Vec<FileRecord>,
}

/// One experiment in the manifest.
#[derive(Clone, Debug, Serialize)]
pub struct RunRecord {
    /// Its name.
    pub id: &'static str,
    /// The seed that was used.
    pub seed: u64,
    /// Seconds from its start to its last file.
    pub wall_time_secs: f64,
    /// The configuration that was run.
    pub config: serde_json::Value,
}

#[derive(Serialize)]
struct FileRecord {
    path: String,
    bytes: usize,
    sha256: String,
}

pub(crate) fn encode(
    results: &ResultsFolder,
    provenance: &Provenance,
    quick: bool,
    num_threads: usize,
    wall_time_secs: f64,
    experiments: &[RunRecord],
) -> Result<Vec<u8>> {
    let record = |(path, bytes): (String, Vec<u8>)| FileRecord {
        path,
        bytes: bytes.len(),
        sha256: sha256_hex(&bytes),
    };
    let files = results.files()?.into_iter().map(record).collect();
    let version = env!("CARGO_PKG_VERSION");
    let manifest = Manifest {
        schema: 1,
        program: PROGRAM,
        version,
        provenance,
        quick,
        num_threads,
        wall_time_secs,
        experiments,
        files,
    };
    let mut bytes = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| ExperimentError::Encode { what: "the manifest", message: error.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// SHA-256 in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
