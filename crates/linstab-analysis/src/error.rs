//! What can stop an analysis. Each message says what, where, and what to do.

use std::path::{Path, PathBuf};

use crate::units;

/// Why a file could not be analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// The file system refused an operation.
    #[error("cannot {action} {}", shown(path))]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is truncated, or otherwise not what its header says, or holds numbers that are not finite.
    #[error("{}: {}", shown(path), plain(problem))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is sound but holds what the analysis cannot take.
    #[error("{}: {}", shown(path), plain(problem))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not supported, and what is.
        problem: String,
    },
    /// A factor is NaN or infinite.
    #[error("{}: sample {sample}, factor {factor}, parameter {parameter} is {value}", shown(path))]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// Index of the sample, from 0.
        sample: usize,
        /// Index of the factor within the sample, from 0.
        factor: usize,
        /// Index of the parameter, from 0.
        parameter: usize,
        /// NaN or an infinity.
        value: f64,
    },
    /// An option is not admissible.
    #[error("{name} is {}, allowed: {allowed}", short(value))]
    Option {
        /// The option.
        name: String,
        /// Its value.
        value: String,
        /// The admissible values.
        allowed: String,
    },
    /// The text for an optimizer is none.
    #[error("optimizer {}: {source}", plain(text))]
    Specification {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: linstab_dynamics::optimizer::SpecificationError,
    },
    /// Products of factors leave the range of numbers, or what can be computed with them does.
    #[error("{what} is {value}, allowed: {allowed}; give the factors in other units")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        value: String,
        /// The admissible values.
        allowed: &'static str,
    },
    /// The analysis does not fit the memory that it may take.
    #[error(
        "{what} needs at least {} of memory, allowed: {} (memory_limit)",
        units::bytes_at_least(*needed), units::bytes_at_most(*limit)
    )]
    Memory {
        /// What is too large.
        what: String,
        /// Bytes that it takes at least.
        needed: u64,
        /// Bytes that it may take.
        limit: u64,
    },
    /// Whoever follows the analysis stopped it.
    #[error("interrupted")]
    Interrupted,
    /// The dynamics could not be analysed.
    #[error(transparent)]
    Dynamics(#[from] linstab_dynamics::DynamicsError),
    /// The coherence could not be computed.
    #[error(transparent)]
    Coherence(#[from] linstab_coherence::CoherenceError),
    /// The ensemble could not be built.
    #[error(transparent)]
    Linalg(#[from] linstab_linalg::LinalgError),
}

impl AnalysisError {
    /// Whether the caller asked for something that cannot be (as opposed to something that went wrong).
    pub fn is_usage(&self) -> bool {
        use linstab_dynamics::DynamicsError;
        matches!(
            self,
            Self::Unsupported { .. }
                | Self::Option { .. }
                | Self::Specification { .. }
                | Self::OutOfRange { .. }
                | Self::Memory { .. }
                | Self::Dynamics(
                    DynamicsError::BatchSizeOutOfRange { .. } | DynamicsError::OutOfRange { .. }
                )
        )
    }

    /// A refused parameter of an optimizer as the option that it is; other errors as they are.
    #[must_use]
    pub fn as_option(self) -> Self {
        use linstab_dynamics::DynamicsError;
        match self {
            Self::Dynamics(DynamicsError::OutOfRange { name, value, allowed }) => Self::Option {
                name: name.to_owned(),
                value: linstab_report::text::short(value),
                allowed: allowed.to_owned(),
            },
            other => other,
        }
    }

    /// Adaptor for `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path: path.clone(), source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), problem: problem.into() }
    }

    pub(crate) fn unsupported(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), problem: problem.into() }
    }
}

/// A value as text, numbers without a hundred zeros.
fn short(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(number) if value.len() > 24 => format!("{number:e}"),
        _ => plain(value),
    }
}

/// A text from a file or a request in one line that no terminal acts on: control characters are written out.
///
/// # Examples
/// ```
/// assert_eq!(linstab_analysis::error::plain("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
/// ```
pub fn plain(text: &str) -> String {
    let written = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(written).collect()
}

/// A path as messages show it.
pub fn shown(path: &Path) -> String {
    plain(&path.display().to_string())
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, AnalysisError>;
