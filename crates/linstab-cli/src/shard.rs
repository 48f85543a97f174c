//! `--shard`: from flags and the variables of a scheduler to a share of the work.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use linstab_driver::shards::{ShardOutcome, ShardReport, compute_shard};
use linstab_driver::{DriverError, Options, Shard};

use crate::experiments::experiments;
use crate::{FAILURE, progress, say};

/// Variables of a task of a Slurm array; the last two may be missing.
const SLURM: [&str; 4] =
    ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"];

/// Which share of a run is computed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shards")]
pub(crate) struct ShardArguments {
    /// Compute the cells of shard I of N alone, counted from 0
    ///
    /// Into the folder --out, which all shards share; `linstab gather` makes results of them. Without I/N: the task of the Slurm array that
    /// this is.
    #[arg(long, value_name = "I/N", conflicts_with = "force")]
    #[expect(clippy::option_option, reason = "a flag with a value that may be left out")]
    pub(crate) shard: Option<Option<Shard>>,
    /// The same from the variables of another scheduler
    ///
    /// Number of the task, number of tasks, number of the first task (0).
    #[arg(long, value_name = "ID,COUNT[,FIRST]", value_delimiter = ',', num_args = 1, conflicts_with_all = ["shard", "force"])]
    pub(crate) shard_from_env: Vec<String>,
}

impl ShardArguments {
    /// The share that is asked for, if not all.
    pub(crate) fn shard(&self) -> Result<Option<Shard>, DriverError> {
        let environment = |name: &str| std::env::var(name).ok();
        match &self.shard {
            Some(Some(shard)) => Ok(Some(*shard)),
            Some(None) => of_variables(&SLURM, 0, environment).map(Some),
            None if self.shard_from_env.is_empty() => Ok(None),
            None => {
                let names: Vec<&str> = self.shard_from_env.iter().map(String::as_str).collect();
                of_variables(&names, names.len(), environment).map(Some)
            }
        }
    }
}

/// The shard that variables name: task, tasks, and with defaults the first task and the step. Of these two the first `num_needed` names
/// must be set.
fn of_variables(
    names: &[&str],
    num_needed: usize,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Shard, DriverError> {
    let refused = |text: String| DriverError::Shard {
        text,
        allowed: "I/N, or numbers in two to four variables of a job array".to_owned(),
    };
    let number = |at: usize, default: Option<u32>| {
        let Some(name) = names.get(at) else { return default.ok_or_else(|| refused(names.join(","))) };
        match variable(name) {
            Some(text) => text.trim().parse().map_err(|_| refused(format!("of {name} = `{text}`"))),
            None => default
                .filter(|_| at >= num_needed)
                .ok_or_else(|| refused(format!("of {name}, which is not set"))),
        }
    };
    if names.len() > SLURM.len() {
        return Err(refused(names.join(",")));
    }
    Shard::of_task(number(0, None)?, number(1, None)?, number(2, Some(0))?, number(3, Some(1))?)
}

/// Computes a shard and says how far it came.
pub(crate) fn run_shard(options: &Options, shard: Shard, quiet: bool) -> anyhow::Result<ExitCode> {
    let progress = progress::start(quiet);
    let report = compute_shard(&experiments(), options, shard, &*progress)?;
    if !quiet {
        say(&summary(&report, shard))?;
    }
    let mut code = ExitCode::SUCCESS;
    for (id, outcome) in &report.outcomes {
        if let ShardOutcome::Failed(error) = outcome {
            eprintln!("error: {id}: {error}");
            code = ExitCode::from(FAILURE);
        }
    }
    Ok(code)
}

fn summary(report: &ShardReport, shard: Shard) -> String {
    let mut text = format!("shard {shard}, {:.1} s\n", report.wall_time_secs);
    let mut complete = true;
    for (id, outcome) in &report.outcomes {
        let state = match outcome {
            ShardOutcome::Complete => "complete".to_owned(),
            ShardOutcome::Waits { computation, shard } => {
                complete = false;
                format!("{computation} is done here, not by shard {shard}")
            }
            ShardOutcome::Failed(_) => {
                complete = false;
                "FAILED; what is done of it is kept for the next try".to_owned()
            }
        };
        let _ = writeln!(text, "{id}: {state}");
    }
    let then = if complete { "" } else { "when the others are done: " };
    let _ = writeln!(text, "{then}linstab gather {} --out RESULTS", report.folder.display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(names: &[&str], num_needed: usize, variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let shard = of_variables(names, num_needed, variable);
        shard.map(|shard| shard.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_of_schedulers_name_shards() {
        let task = [(SLURM[0], "5"), (SLURM[1], "8")];
        assert_eq!(shard(&SLURM, 0, &task).unwrap(), "5/8");
        assert_eq!(shard(&SLURM, 0, &[&task[..], &[(SLURM[2], "1")]].concat()).unwrap(), "4/8");
        let stepped = [(SLURM[0], "11"), (SLURM[1], "8"), (SLURM[2], "1"), (SLURM[3], "2")];
        assert_eq!(shard(&SLURM, 0, &stepped).unwrap(), "5/8");
        let other = [("PBS_ARRAY_INDEX", "3"), ("N", "4"), ("FIRST", "1")];
        assert_eq!(shard(&["PBS_ARRAY_INDEX", "N"], 2, &other).unwrap(), "3/4");
        assert_eq!(shard(&["PBS_ARRAY_INDEX", "N", "FIRST"], 3, &other).unwrap(), "2/4");
    }

    #[test]
    fn what_names_no_shard_is_refused_by_name() {
        let task = [(SLURM[0], "5"), (SLURM[1], "8")];
        for (names, num_needed, variables, part) in [
            (&SLURM[..], 0, &[][..], "of SLURM_ARRAY_TASK_ID, which is not set"),
            (&SLURM, 0, &task[..1], "of SLURM_ARRAY_TASK_COUNT, which is not set"),
            (&SLURM, 0, &[(SLURM[0], "x"), (SLURM[1], "8")], "of SLURM_ARRAY_TASK_ID = `x`"),
            (&SLURM, 0, &[(SLURM[0], "8"), (SLURM[1], "8")], "task 8 of 8"),
            (&[SLURM[0], SLURM[1], "FIRST"], 3, &task, "of FIRST, which is not set"),
            (&[SLURM[0]], 1, &task, "SLURM_ARRAY_TASK_ID, allowed"),
            (&["A", "B", "C", "D", "E"], 5, &task, "A,B,C,D,E"),
        ] {
            let refused = shard(names, num_needed, variables).unwrap_err();
            assert!(refused.contains(part), "{part} is not in: {refused}");
        }
    }
}
