//! What can stop the ledger.

use linstab_driver::DriverError;
use linstab_experiments::ExperimentError;

/// Why the ledger could not be recomputed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// What the ledger says beside a verdict is not what was recomputed: an error in the program.
    #[error("claim {id}: {problem}")]
    Claim {
        /// The claim.
        id: String,
        /// What does not hold.
        problem: String,
    },
    /// A configuration, a file or the machinery of runs.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A run of one of the paper's experiments.
    #[error(transparent)]
    Run(#[from] ExperimentError),
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

impl From<ClaimError> for DriverError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Driver(error) => error,
            ClaimError::Run(error) => error.into(),
            other => Self::Experiment(Box::new(other)),
        }
    }
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, ClaimError>;
