//! What a run is going to do: which experiments have to be run and why, which have not changed, and how long it takes.

use std::fmt;

use crate::experiment::{Context, Experiment, Finding, Inputs};
use crate::manifest::{self, Manifest, RunRecord};
use crate::output::ResultsFolder;
use crate::{ExperimentError, Result};

/// What a run is going to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The experiments that the results will hold.
    pub steps: Vec<Step>,
    /// Experiments of the earlier results that are not asked for and no longer current: the new results will not hold them.
    pub dropped: Vec<(&'static str, Cause)>,
    /// Reduced sizes.
    pub quick: bool,
    /// Number of worker threads.
    pub num_threads: usize,
}

/// An experiment of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub id: &'static str,
    /// Why it is run; `None` if its results are carried over.
    pub cause: Option<Cause>,
    /// Seconds that it is going to take.
    pub seconds: f64,
}

impl Plan {
    /// Seconds that the run is going to take.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }
}

/// Why an experiment has to be run, or its earlier results are not current.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There are no results of it.
    New,
    /// It failed the last time.
    Failed,
    /// It was asked for, come what may.
    Forced,
    /// Another program made the results.
    Program,
    /// The results are of other sizes: quick ones or full ones.
    Sizes,
    /// They are of another seed.
    Seed,
    /// They are of another configuration.
    Configuration,
    /// They are of other data.
    Data,
    /// A file of them is not what was written.
    File(String),
    /// Its configuration cannot be read.
    Unreadable,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "no results yet"),
            Self::Failed => write!(f, "failed the last time"),
            Self::Forced => write!(f, "asked for"),
            Self::Program => write!(f, "the program has changed"),
            Self::Sizes => write!(f, "other sizes (quick or full)"),
            Self::Seed => write!(f, "the seed has changed"),
            Self::Configuration => write!(f, "the configuration has changed"),
            Self::Data => write!(f, "the data have changed"),
            Self::File(path) => write!(f, "{path} is missing or was edited"),
            Self::Unreadable => write!(f, "its configuration cannot be read"),
        }
    }
}

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Its results are new; it took so many seconds.
    Completed(f64),
    /// Its results are those of an earlier run.
    Unchanged,
    /// It stopped with this error, after so many seconds.
    Failed(String, f64),
}

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
        |error: serde_json::Error| ExperimentError::Encode { what: "a finding", message: error.to_string() };
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
