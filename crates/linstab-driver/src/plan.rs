//! What a run is going to do and why, and about how long it takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::experiment::{Context, Experiment, Finding, Inputs};
use crate::folder::ResultsFolder;
use crate::manifest::{self, Manifest};
use crate::progress::{Cause, Plan, Step};
use crate::{DriverError, Result};

/// An experiment with what its results are a function of.
pub(crate) struct Task {
    pub(crate) experiment: &'static dyn Experiment,
    pub(crate) inputs: Inputs,
    pub(crate) key: String,
}

impl Task {
    /// Runs the experiment. A panic in it is an error of this experiment alone.
    pub(crate) fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding> {
        let run = || self.experiment.run(context, results);
        let finding = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let message =
                text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned();
            Err(DriverError::Panicked { message })
        })?;
        if (&finding.config, finding.seed) != (&self.inputs.config, self.inputs.seed) {
            return Err(DriverError::ConfigChanged);
        }
        Ok(finding)
    }
}

/// The selected experiments, in the order of `all`, each with its configuration read and checked.
///
/// # Errors
/// [`DriverError::UnknownExperiment`], or what is wrong with a configuration.
pub(crate) fn tasks(
    all: &[&'static dyn Experiment],
    only: &[String],
    context: &Context<'_>,
) -> Result<Vec<Task>> {
    if let Some(name) = only.iter().find(|name| all.iter().all(|experiment| experiment.id() != **name)) {
        let allowed = all.iter().map(|experiment| experiment.id()).collect::<Vec<_>>().join(", ");
        return Err(DriverError::UnknownExperiment { name: name.clone(), allowed });
    }
    let selected = |experiment: &&&'static dyn Experiment| {
        only.is_empty() || only.iter().any(|name| name == experiment.id())
    };
    let task = |&experiment: &&'static dyn Experiment| {
        let inputs = experiment.inputs(context)?;
        let key = manifest::key(experiment.id(), &inputs, context.quick, context.program);
        Ok(Task { experiment, inputs, key })
    };
    all.iter().filter(selected).map(task).collect()
}

/// What a run of these tasks is going to do, given the results that an earlier one left in `folder`.
pub(crate) fn plan(
    tasks: &[Task],
    earlier: Option<&Manifest>,
    folder: &Path,
    forced: bool,
    context: &Context<'_>,
) -> Plan {
    let cause = if forced { Some(Cause::Forced) } else { cause(tasks, earlier, folder, context) };
    let step = |task: &Task| Step { id: task.experiment.id(), seconds: seconds(task, earlier, context) };
    Plan {
        cause,
        steps: tasks.iter().map(step).collect(),
        quick: context.quick,
        num_threads: context.num_threads,
    }
}

/// Why the earlier results are not those that a run would give; `None` if they are.
pub(crate) fn cause(
    tasks: &[Task],
    earlier: Option<&Manifest>,
    folder: &Path,
    context: &Context<'_>,
) -> Option<Cause> {
    let Some(earlier) = earlier else { return Some(Cause::New) };
    if let Some(failure) = earlier.failures.first() {
        return Some(Cause::Failed(failure.id.clone()));
    }
    if !earlier
        .experiments
        .iter()
        .map(|record| record.id.as_str())
        .eq(tasks.iter().map(|t| t.experiment.id()))
    {
        return Some(Cause::Selection);
    }
    for (task, record) in tasks.iter().zip(&earlier.experiments) {
        if record.key == task.key {
            continue;
        }
        let id = record.id.clone();
        return Some(if earlier.provenance.program_sha256 != context.program {
            Cause::Program
        } else if earlier.quick != context.quick {
            Cause::Sizes
        } else if record.inputs.seed != task.inputs.seed {
            Cause::Seed
        } else if record.inputs.data != task.inputs.data {
            Cause::Data(id)
        } else {
            Cause::Configuration(id)
        });
    }
    let edited = earlier.files.iter().find(|file| !file.holds(folder));
    edited.map(|file| Cause::File(file.path.clone()))
}

/// Seconds that a task takes: as the last time with the same sizes, else as measured once.
fn seconds(task: &Task, earlier: Option<&Manifest>, context: &Context<'_>) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = |num_threads: usize| num_threads.min(cores) as f64;
    let earlier = earlier.filter(|earlier| earlier.quick == context.quick);
    let core_seconds = match earlier.and_then(|earlier| earlier.record(task.experiment.id())) {
        Some(record) => record.wall_time_secs * workers(record.num_threads),
        None => task.experiment.core_seconds(context.quick),
    };
    core_seconds / workers(context.num_threads)
}
