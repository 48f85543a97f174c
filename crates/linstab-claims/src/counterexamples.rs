//! The counterexamples of the folder `counterexamples`, part of the program.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::rational::{BigRational, Matrix, integer, parse, to_f64};
use crate::{ClaimError, Result};
use linstab_driver::DriverError;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of each file.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../counterexamples/", $name, ".toml")))),+];
    };
}

files!(
    "eq8",
    "eq16",
    "eq17",
    "eq18-equality",
    "eq25",
    "eq39",
    "eq39-two-samples",
    "eq40",
    "eq44-equality",
    "eq46",
    "eq46-trace",
    "eq48",
    "eq64",
    "eq67",
    "eq88",
    "eq90",
    "eq91",
    "hadamard",
    "lemC1",
    "thm3.4-reverse",
);

/// One file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counterexample {
    #[serde(skip)]
    name: String,
    /// What it shows.
    pub(super) description: String,
    /// Relative tolerance where an expected number is not rational.
    #[serde(default)]
    pub(super) tolerance: f64,
    #[serde(default)]
    hessians: Vec<Vec<Vec<String>>>,
    #[serde(default)]
    inputs: Vec<Vec<String>>,
    #[serde(default)]
    numbers: BTreeMap<String, String>,
    #[serde(default)]
    expected: BTreeMap<String, String>,
}

impl Counterexample {
    /// The file of this name.
    pub(super) fn load(name: &str) -> Result<Self> {
        let file = FILES.iter().find(|file| file.0 == name);
        let (_, text) = file.ok_or_else(|| fault(name, "no such file"))?;
        let parsed: Self = toml::from_str(text).map_err(|error| fault(name, error.message()))?;
        Ok(Self { name: name.to_owned(), ..parsed })
    }

    /// The curvatures.
    pub(super) fn hessians(&self) -> Result<Vec<Matrix>> {
        let parsed = self.hessians.iter().map(|rows| Matrix::parse(rows)).collect::<Option<Vec<_>>>();
        parsed.ok_or_else(|| fault(&self.name, "hessians are not square matrices of fractions"))
    }

    /// The inputs.
    pub(super) fn inputs(&self) -> Result<Vec<Vec<BigRational>>> {
        let row = |row: &Vec<String>| row.iter().map(|text| parse(text)).collect::<Option<Vec<_>>>();
        let parsed = self.inputs.iter().map(row).collect::<Option<Vec<_>>>();
        parsed.ok_or_else(|| fault(&self.name, "inputs are not fractions"))
    }

    /// A number that is given.
    pub(super) fn number(&self, key: &str) -> Result<BigRational> {
        self.read(&self.numbers, key)
    }

    /// The same, rounded.
    pub(super) fn float(&self, key: &str) -> Result<f64> {
        Ok(to_f64(&self.number(key)?))
    }

    /// Fails unless a fraction is the listed one, exactly.
    pub(super) fn confirm(&self, key: &str, value: &BigRational) -> Result<()> {
        let listed = self.read(&self.expected, key)?;
        if listed == *value { Ok(()) } else { Err(self.mismatch(key, &listed, value)) }
    }

    /// Fails unless a number is the listed one to the tolerance of the file.
    pub(super) fn confirm_near(&self, key: &str, value: f64) -> Result<()> {
        let listed = self.read(&self.expected, key)?;
        let expected = to_f64(&listed);
        let near = (value - expected).abs() <= self.tolerance * expected.abs();
        if near { Ok(()) } else { Err(self.mismatch(key, &listed, &value)) }
    }

    fn mismatch(&self, key: &str, listed: &BigRational, found: &dyn std::fmt::Display) -> ClaimError {
        fault(&self.name, &format!("expected.{key} is {listed}, recomputed {found}"))
    }

    fn read(&self, numbers: &BTreeMap<String, String>, key: &str) -> Result<BigRational> {
        let text = numbers.get(key).ok_or_else(|| fault(&self.name, &format!("{key} is missing")))?;
        parse(text).ok_or_else(|| fault(&self.name, &format!("{key} = {text} is not a fraction")))
    }
}

/// An integer that counts something.
pub(super) fn count(value: &BigRational) -> usize {
    if *value.denom() == *integer(1).denom() { value.to_string().parse().unwrap_or(0) } else { 0 }
}

fn fault(name: &str, problem: &str) -> ClaimError {
    let path = Path::new("counterexamples").join(format!("{name}.toml"));
    DriverError::DataFile { path, problem: problem.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_value_that_is_not_the_recomputed_one_is_an_error() {
        let file = Counterexample::load("eq25").expect("readable");
        assert!(file.confirm("exact", &integer(1)).is_ok());
        let error = file.confirm("exact", &integer(2)).expect_err("another value").to_string();
        assert!(error.contains("eq25.toml: expected.exact is 1, recomputed 2"), "{error}");
        let file = Counterexample::load("eq67").expect("readable");
        assert!(file.confirm_near("ratio", 12.875).is_ok() && file.confirm_near("ratio", 12.876).is_err());
    }

    #[test]
    fn every_file_is_listed_and_readable() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("counterexamples");
        let mut found = 0;
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".toml") {
                let file = Counterexample::load(name).expect(name);
                assert!(!file.description.is_empty() && file.hessians().is_ok(), "{name}");
                let all = file.numbers.values().chain(file.expected.values());
                assert!(
                    all.clone().count() > 0 && all.map(|text| parse(text)).all(|x| x.is_some()),
                    "{name}"
                );
                found += 1;
            }
        }
        assert_eq!(found, FILES.len());
    }
}
