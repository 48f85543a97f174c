//! Reading configuration files, with errors that name the file, the place and the admissible values.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{Context, DriverError, Result};
use linstab_report::text::short;

/// The configuration of an experiment.
pub trait Configuration: DeserializeOwned {
    /// Name of its experiment, and so of its file.
    const ID: &'static str;

    /// Checks every value, those of a quick run among them.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`] for the first value that is not admissible.
    fn check(&self, checker: &Checker) -> Result<()>;

    /// The root of all random streams.
    fn seed_mut(&mut self) -> &mut u64;

    /// Puts the sizes of a quick run in their places.
    fn reduce(&mut self);
}

/// Where a configuration is: in the folder of configurations, unless that is a file, which then is the configuration itself, also if it
/// is not there.
pub fn path_of(configs: &Path, id: &str) -> PathBuf {
    let names_a_file = configs.extension().is_some_and(|ending| ending == "toml") && !configs.is_dir();
    if names_a_file || configs.is_file() { configs.to_path_buf() } else { configs.join(format!("{id}.toml")) }
}

/// The configuration of a run: read, checked, with the overrides of the context.
///
/// # Errors
/// As [`read_checked`].
pub fn load<C: Configuration>(context: &Context<'_>) -> Result<C> {
    let mut config: C = read_checked(&path_of(context.configs, C::ID))?;
    if let Some(seed) = context.seed {
        *config.seed_mut() = seed;
    }
    if context.quick {
        config.reduce();
    }
    Ok(config)
}

/// Reads and checks a configuration file.
///
/// # Errors
/// As [`read`], and [`DriverError::ConfigValue`].
pub fn read_checked<C: Configuration>(path: &Path) -> Result<C> {
    let config: C = read(path)?;
    config.check(&Checker::new(path))?;
    Ok(config)
}

/// Reads a TOML file into `T`; unknown keys are errors if `T` says so.
///
/// # Errors
/// [`DriverError::Io`], [`DriverError::ConfigSyntax`].
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(path, &std::fs::read_to_string(path).map_err(DriverError::io("read", path))?)
}

/// As [`read`], for the contents of a file; `path` is what errors call it.
///
/// # Errors
/// [`DriverError::ConfigSyntax`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text[..offset].matches('\n').count();
        // The parser's message can run over several lines; the first says what is wrong, the rest where.
        let message = printable(&error.message().lines().collect::<Vec<_>>().join("; "));
        DriverError::ConfigSyntax { path: path.to_path_buf(), line, message }
    })
}

/// A text without control characters: what a file says may hold tabs and worse, and a message stays a line.
pub fn printable(text: &str) -> String {
    let written = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(written).collect()
}

/// Products of a few scientific parameters between these bounds, and their squares, neither overflow nor underflow.
pub const SMALLEST: f64 = 1e-30;
/// See [`SMALLEST`].
pub const LARGEST: f64 = 1e30;

/// Checks values of one file.
#[derive(Clone, Debug)]
pub struct Checker {
    path: PathBuf,
}

impl Checker {
    /// Of the file at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// Accepts a value if `admissible`.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`].
    pub fn require(
        &self,
        admissible: bool,
        key: &str,
        value: impl Display,
        allowed: impl Display,
    ) -> Result<()> {
        if admissible {
            return Ok(());
        }
        Err(DriverError::ConfigValue {
            path: self.path.clone(),
            key: key.to_owned(),
            value: printable(&value.to_string()),
            allowed: allowed.to_string(),
        })
    }

    /// Accepts a positive number whose square is far from the ends of the range of numbers.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`].
    pub fn require_positive(&self, key: &str, value: f64) -> Result<()> {
        let allowed = format!("positive and finite, {SMALLEST:e} to {LARGEST:e}");
        self.require((SMALLEST..=LARGEST).contains(&value), key, short(value), allowed)
    }

    /// Accepts 1 to `limit`.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`].
    pub fn require_count(&self, key: &str, value: usize, limit: usize) -> Result<()> {
        self.require((1..=limit).contains(&value), key, value, format!("1 to {limit}"))
    }

    /// Accepts distinct values, each from 1 to `limit`.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`].
    pub fn require_counts(&self, key: &str, values: &[usize], limit: usize) -> Result<()> {
        self.require_distinct(key, values)?;
        values.iter().try_for_each(|&value| self.require_count(key, value, limit))
    }

    /// Accepts a list that is neither empty nor repeats a value.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`].
    pub fn require_distinct<T: PartialEq + std::fmt::Debug>(&self, key: &str, values: &[T]) -> Result<()> {
        self.require(!values.is_empty(), key, "empty", "at least one value")?;
        let repeated = values.iter().enumerate().any(|(i, value)| values[..i].contains(value));
        self.require(!repeated, key, format!("{values:?}"), "distinct values")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    enum Choice {
        One,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Chosen {
        a: Choice,
    }

    #[test]
    fn a_message_is_a_line_of_plain_text_whatever_the_file_says() {
        let parse = |text| parse::<Chosen>(Path::new("x.toml"), text);
        assert!(matches!(parse("a = 'One'").unwrap().a, Choice::One));
        let refused = parse("\na = \"b\\nc\\u001bd\te\"").unwrap_err().to_string();
        assert!(refused.contains(r"c\u{1b}d\te"), "{refused}");
        assert!(refused.starts_with("x.toml:2: ") && !refused.chars().any(char::is_control), "{refused}");
    }
}
