//! Reading configuration files, with errors that name the file, the place and the admissible values.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{ExperimentError, Result};

/// Reads a TOML file into `T`; unknown keys are errors if `T` says so.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(ExperimentError::io("read", path))?;
    toml::from_str(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text[..offset].matches('\n').count();
        // The parser's message can run over several lines; the first says what is wrong, the rest where.
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        ExperimentError::ConfigSyntax { path: path.to_path_buf(), line, message }
    })
}

/// Checks values of one file.
pub(crate) struct Checker {
    path: PathBuf,
}

impl Checker {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// Accepts a value if `admissible`.
    pub(crate) fn require(
        &self,
        admissible: bool,
        key: &str,
        value: impl Display,
        allowed: impl Display,
    ) -> Result<()> {
        if admissible {
            return Ok(());
        }
        Err(ExperimentError::ConfigValue {
            path: self.path.clone(),
            key: key.to_owned(),
            value: value.to_string(),
            allowed: allowed.to_string(),
        })
    }

    /// Accepts a list that is neither empty nor repeats a value.
    pub(crate) fn require_distinct<T: PartialEq + std::fmt::Debug>(
        &self,
        key: &str,
        values: &[T],
    ) -> Result<()> {
        self.require(!values.is_empty(), key, "empty", "at least one value")?;
        let repeated = values.iter().enumerate().any(|(i, value)| values[..i].contains(value));
        self.require(!repeated, key, format!("{values:?}"), "distinct values")
    }
}
