//! Following an analysis, and stopping it.

use linstab_dynamics::Interrupt;

use crate::{AnalysisError, Result};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Factors are read and multiplied, a block of parameters at a time.
    Products,
    /// Thresholds are found, one optimizer and batch size at a time.
    Thresholds,
}

/// How far a stage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Steps of it that are done.
    pub done: usize,
    /// All of its steps.
    pub total: usize,
}

/// Follows an analysis. Threads of the analysis call it, not the one that asked.
pub trait Observer: Sync {
    /// Told before the work begins what it will take, in a sentence.
    fn announced(&self, what: &str) {
        let _ = what;
    }

    /// Told after each step; the analysis stops if the answer is no.
    fn goes_on(&self, progress: Progress) -> bool {
        let _ = progress;
        true
    }

    /// A flag that stops a step in its midst, where a step is long.
    fn interrupt(&self) -> Interrupt {
        Interrupt::new()
    }
}

/// Nobody looks, and nobody stops the work.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Tells of a step.
///
/// # Errors
/// [`AnalysisError::Interrupted`] if the observer does not want to go on.
pub(crate) fn advance(observer: &dyn Observer, stage: Stage, done: usize, total: usize) -> Result<()> {
    if observer.goes_on(Progress { stage, done, total }) { Ok(()) } else { Err(AnalysisError::Interrupted) }
}

impl Stage {
    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Thresholds => "thresholds",
        }
    }
}
