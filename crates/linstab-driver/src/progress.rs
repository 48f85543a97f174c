//! What a run tells of itself while it runs: its plan, its progress, how each experiment ended.

use std::fmt;

/// Receives the progress of a run; the driver itself neither prints nor draws.
pub trait Progress: Sync {
    /// An experiment starts; `num_done` of its `num_cells` cells come from a checkpoint.
    fn start(&self, experiment: &str, num_done: usize, num_cells: usize);
    /// So many cells are done now.
    fn advance(&self, num_done: usize);
    /// These cells are complete; an experiment may go on with others.
    fn finish(&self);
    /// What the whole run is going to do, before it does.
    fn plan(&self, _plan: &Plan) {}
    /// Another process has to end first.
    fn waiting(&self, _what: &str) {}
    /// An experiment has ended, one way or another.
    fn ended(&self, _experiment: &str, _ending: &Ending) {}
}

/// Reports to nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _experiment: &str, _num_done: usize, _num_cells: usize) {}
    fn advance(&self, _num_done: usize) {}
    fn finish(&self) {}
}

/// What a run is going to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Why the experiments are run; `None` if the results of an earlier run are what this one would give.
    pub cause: Option<Cause>,
    /// The experiments.
    pub steps: Vec<Step>,
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
    /// Seconds that it takes when it is run.
    pub seconds: f64,
}

impl Plan {
    /// Seconds that the run is going to take.
    pub fn seconds(&self) -> f64 {
        if self.cause.is_none() { 0.0 } else { self.steps.iter().map(|step| step.seconds).sum() }
    }
}

/// Why experiments have to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There are no results yet.
    New,
    /// An experiment failed the last time.
    Failed(String),
    /// It was asked for, come what may.
    Forced,
    /// The results are of other experiments.
    Selection,
    /// Another program made the results.
    Program,
    /// The results are of other sizes: quick ones or full ones.
    Sizes,
    /// They are of another seed.
    Seed,
    /// They are of another configuration of an experiment.
    Configuration(String),
    /// They are of other data of an experiment.
    Data(String),
    /// A file of them is not what was written.
    File(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "no results yet"),
            Self::Failed(id) => write!(f, "{id} failed the last time"),
            Self::Forced => write!(f, "asked for"),
            Self::Selection => write!(f, "the results are of other experiments"),
            Self::Program => write!(f, "the program has changed"),
            Self::Sizes => write!(f, "other sizes (quick or full)"),
            Self::Seed => write!(f, "the seed has changed"),
            Self::Configuration(id) => write!(f, "the configuration of {id} has changed"),
            Self::Data(id) => write!(f, "the data of {id} have changed"),
            Self::File(path) => write!(f, "{path} is missing or was edited"),
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
