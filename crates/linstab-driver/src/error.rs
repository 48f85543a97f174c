//! What can stop an experiment. Each message says what, where, and what to do.

use std::path::{Path, PathBuf};

/// Why an experiment could not be run or its results not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// No experiment has this name.
    #[error("unknown experiment `{name}`, allowed: {allowed}")]
    UnknownExperiment {
        /// The name that was given.
        name: String,
        /// The names there are.
        allowed: String,
    },
    /// A configuration file is not valid TOML, or has a key that is unknown, missing or of the wrong type.
    #[error("{}:{line}: {message}", path.display())]
    ConfigSyntax {
        /// The configuration file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A value of a configuration file is not admissible.
    #[error("{}: {key} is {value}, allowed: {allowed}", path.display())]
    ConfigValue {
        /// The configuration file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// Its value.
        value: String,
        /// The admissible values.
        allowed: String,
    },
    /// The output folder holds something that is no earlier result of ours.
    #[error("{} is in the way: neither a new or empty folder nor one of linstab results, or a mount point; name another with --out", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder of golden thresholds holds none.
    #[error("{} holds no golden thresholds (no *.toml with a [[threshold]])", path.display())]
    NoThresholds {
        /// The folder.
        path: PathBuf,
    },
    /// Another run writes to the same output folder.
    #[error("another run is writing to {}: wait for it to end or name another folder with --out", path.display())]
    Busy {
        /// The output folder.
        path: PathBuf,
    },
    /// A checkpoint exists but cannot be continued from.
    #[error("checkpoint {} {reason}: run again with --restart to discard it", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Why it is refused.
        reason: CheckpointFault,
    },
    /// There is no such shard.
    #[error("there is no shard {text}, allowed: {allowed}")]
    Shard {
        /// How it was named.
        text: String,
        /// The shards there are.
        allowed: String,
    },
    /// The file of a shard cannot be used.
    #[error("{} {reason}: run shard {shard} again with --restart to discard it", path.display())]
    ShardFile {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        shard: String,
        /// Why it is refused.
        reason: CheckpointFault,
    },
    /// A shard was made from something else than the others, or than what is asked for.
    #[error("{} holds foreign shards: {what}", folder.display())]
    ForeignShards {
        /// The folder of the shards.
        folder: PathBuf,
        /// Which, and what differs.
        what: String,
    },
    /// A folder holds no shards.
    #[error("{} holds no shards: make some with `--shard I/N --out {}`", folder.display(), folder.display())]
    NoShards {
        /// The folder.
        folder: PathBuf,
    },
    /// The results would lie among what they are made of.
    #[error("{} lies in the folder of the shards: name another with --out", out.display())]
    AmongShards {
        /// The results folder.
        out: PathBuf,
    },
    /// What the folder of shards is to lie in is not there.
    #[error(
        "{} is not there, so other shards would not find {}: is it mounted on this node? else create it",
        parent.display(),
        folder.display()
    )]
    NoSharedFolder {
        /// The folder of the shards.
        folder: PathBuf,
        /// What it is to lie in.
        parent: PathBuf,
    },
    /// A shard has computed its cells; what follows needs those of others.
    #[error("waits for the cells of shard {shard} ({computation})")]
    Awaits {
        /// The computation they belong to.
        computation: String,
        /// One that has not computed all of its cells.
        shard: String,
    },
    /// Shards have not computed all cells.
    #[error("{num_missing} of {num_cells} cells of {computation} are missing: run shards {shards} again")]
    MissingCells {
        /// The computation they belong to.
        computation: String,
        /// How many there are not.
        num_missing: usize,
        /// How many there should be.
        num_cells: usize,
        /// Who would compute them.
        shards: String,
    },
    /// Shards have not computed all that the results are made of.
    #[error("{} is not complete: {missing}", folder.display())]
    Incomplete {
        /// The folder of the shards.
        folder: PathBuf,
        /// What is missing.
        missing: String,
    },
    /// The file system refused an operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Results went away, or were changed, while they were made.
    #[error("{} is gone or is not what was written: leave the folder alone and run again", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// A table or checkpoint could not be encoded.
    #[error("cannot encode {what}: {message}")]
    Encode {
        /// What was to be encoded.
        what: &'static str,
        /// The encoder's answer.
        message: String,
    },
    /// The worker threads could not be started.
    #[error("cannot start {num_threads} worker threads: {message}")]
    Threads {
        /// How many were asked for.
        num_threads: usize,
        /// The system's answer.
        message: String,
    },
    /// A configuration was edited between the planning of a run and its turn: its results would be kept under the wrong key.
    #[error("its configuration was changed meanwhile: run again")]
    ConfigChanged,
    /// An experiment panicked: an error in the program.
    #[error("it panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// A data file is not what the configuration says.
    #[error("{}: {problem}", path.display())]
    DataFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A drawing could not be made.
    #[error(transparent)]
    Report(#[from] linstab_report::ReportError),
    /// An experiment stopped for a reason of its own.
    #[error(transparent)]
    Experiment(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// It does not begin as a checkpoint does.
    #[error("is not a linstab checkpoint")]
    Foreign,
    /// It was written by another version of the program.
    #[error("was written by another build of linstab")]
    Version,
    /// It was written for another configuration, seed or experiment.
    #[error("belongs to another configuration or seed")]
    Configuration,
    /// It is truncated or damaged.
    #[error("is truncated or damaged")]
    Damaged,
}

impl DriverError {
    /// Whether the caller asked for something that cannot be (as opposed to something that went wrong).
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownExperiment { .. }
                | Self::ConfigSyntax { .. }
                | Self::ConfigValue { .. }
                | Self::ForeignFolder { .. }
                | Self::NoThresholds { .. }
                | Self::NoShards { .. }
                | Self::AmongShards { .. }
                | Self::Shard { .. }
                | Self::DataFile { .. }
        )
    }

    /// Whether cells are missing or cannot be read, which is no fault of their experiment.
    pub(crate) fn is_of_cells(&self, shards: &Path) -> bool {
        match self {
            Self::MissingCells { .. } | Self::ShardFile { .. } => true,
            Self::Io { path, .. } => path.starts_with(shards),
            _ => false,
        }
    }

    /// The error with all its causes, in one line.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Adaptor for `map_err` on file operations.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, DriverError>;
