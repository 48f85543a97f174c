//! What can go wrong in drawing.

/// Why a drawing could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A figure could not be rendered as a bitmap.
    #[error("cannot render {figure}: {message}")]
    Render {
        /// The figure.
        figure: String,
        /// The renderer's answer.
        message: String,
    },
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, ReportError>;
