//! What can stop an experiment. Each message says what, where, and what to do.

use linstab_driver::DriverError;

/// Why an experiment could not be run or its results not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A configuration, a file or the machinery of runs.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A drawing could not be made.
    #[error(transparent)]
    Report(#[from] linstab_report::ReportError),
    /// A network could not be built, trained or analysed.
    #[error(transparent)]
    Relu(#[from] linstab_relu::ReluError),
    /// The dynamics of a cell could not be set up.
    #[error(transparent)]
    Dynamics(#[from] linstab_dynamics::DynamicsError),
    /// The coherence of a cell could not be computed.
    #[error(transparent)]
    Coherence(#[from] linstab_coherence::CoherenceError),
    /// The ensemble of a cell could not be built.
    #[error(transparent)]
    Linalg(#[from] linstab_linalg::LinalgError),
}

impl ExperimentError {
    /// Whether the caller asked for something that cannot be (as opposed to something that went wrong).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Driver(error) if error.is_usage())
    }
}

impl From<ExperimentError> for DriverError {
    fn from(error: ExperimentError) -> Self {
        match error {
            ExperimentError::Driver(error) => error,
            other => Self::Experiment(Box::new(other)),
        }
    }
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, ExperimentError>;
