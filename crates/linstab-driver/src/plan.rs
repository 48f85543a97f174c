//! What a run is going to do: which experiments have to be run and why, which have not changed, and how long it takes.

use crate::experiment::{Context, Experiment, Finding, Inputs};
use crate::manifest::{self, Manifest, RunRecord};
use crate::output::ResultsFolder;
use crate::progress::Cause;
use crate::{DriverError, Result};

/// An experiment with what its results are a function of.
pub(crate) struct Task {
    pub(crate) experiment: &'static dyn Experiment,
    pub(crate) inputs: Inputs,
    pub(crate) key: String,
}

impl Task {
    /// Reads and checks the configuration.
    pub(crate) fn new(experiment: &'static dyn Experiment, context: &Context<'_>) -> Result<Self> {
        let inputs = experiment.inputs(context)?;
        let key = manifest::key(experiment.id(), &inputs, context.quick, context.program);
        Ok(Self { experiment, inputs, key })
    }

    /// Copies the results that an earlier run left, if they are what this task would give; otherwise says why they are not.
    pub(crate) fn carry_over(
        &self,
        earlier: Option<&Manifest>,
        results: &ResultsFolder,
        context: &Context<'_>,
    ) -> Result<std::result::Result<(RunRecord, Finding), Cause>> {
        let id = self.experiment.id();
        let Some(earlier) = earlier else { return Ok(Err(Cause::New)) };
        let Some(record) = earlier.record(id) else {
            let failed = earlier.failures.iter().any(|failure| failure.id == id);
            return Ok(Err(if failed { Cause::Failed } else { Cause::New }));
        };
        if record.key != self.key {
            return Ok(Err(self.difference(earlier, record, context)));
        }
        let start = results.start(id);
        match copy(id, earlier, results)? {
            Ok(finding) => Ok(Ok((record.clone(), finding))),
            Err(path) => {
                results.discard_since(start)?;
                Ok(Err(Cause::File(path)))
            }
        }
    }

    /// Why the key is another.
    fn difference(&self, earlier: &Manifest, record: &RunRecord, context: &Context<'_>) -> Cause {
        if earlier.provenance.program_sha256 != context.program {
            Cause::Program
        } else if earlier.quick != context.quick {
            Cause::Sizes
        } else if record.inputs.seed != self.inputs.seed {
            Cause::Seed
        } else if record.inputs.data != self.inputs.data {
            Cause::Data
        } else {
            Cause::Configuration
        }
    }

    /// Seconds that it takes: as the last time with the same sizes, else as measured once.
    pub(crate) fn seconds(&self, earlier: Option<&Manifest>, context: &Context<'_>) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = |num_threads: usize| num_threads.min(cores) as f64;
        let earlier = earlier.filter(|earlier| earlier.quick == context.quick);
        let core_seconds = match earlier.and_then(|earlier| earlier.record(self.experiment.id())) {
            Some(record) => record.wall_time_secs * workers(record.num_threads),
            None => self.experiment.core_seconds(context.quick),
        };
        core_seconds / workers(context.num_threads)
    }
}

/// Where an experiment's finding is kept.
pub(crate) fn finding_path(id: &str) -> String {
    format!("findings/{id}.json")
}

/// The finding as a file.
pub(crate) fn encode_finding(finding: &Finding) -> Result<Vec<u8>> {
    let encode =
        |error: serde_json::Error| DriverError::Encode { what: "a finding", message: error.to_string() };
    let mut bytes = serde_json::to_vec_pretty(finding).map_err(encode)?;
    bytes.push(b'\n');
    // JSON has no NaN: what cannot be read back would never be used again, and nobody would know why.
    serde_json::from_slice::<Finding>(&bytes).map_err(encode)?;
    Ok(bytes)
}

/// Copies the recorded files of an experiment, or names the first that is not what was recorded.
fn copy(
    id: &str,
    earlier: &Manifest,
    results: &ResultsFolder,
) -> Result<std::result::Result<Finding, String>> {
    let mut finding = None;
    let finding_path = finding_path(id);
    for file in earlier.files_of(id) {
        // What was read is what is written: a file that changes later cannot slip in.
        let Some(contents) = results.read_earlier(&file.path).filter(|contents| file.is_of(contents)) else {
            return Ok(Err(file.path.clone()));
        };
        results.write(&file.path, &contents)?;
        if file.path == finding_path {
            finding = serde_json::from_slice(&contents).ok();
        }
    }
    Ok(finding.ok_or(finding_path))
}
