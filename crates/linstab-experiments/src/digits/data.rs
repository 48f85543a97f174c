//! The optical digits of `data/digits`, two classes of them.

use std::path::{Path, PathBuf};

use linstab_relu::Dataset;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Result, data_file};
use linstab_driver::DriverError;

const NUM_PIXELS: usize = 64;
/// Pixels are counts from 0 to 16.
const BRIGHTEST: f64 = 16.0;

/// Which digits, from which file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// The file, relative to the configuration.
    pub(crate) file: PathBuf,
    /// Its checksum.
    pub(crate) sha256: String,
    /// The digit with label +1 and the one with label -1.
    #[serde(deserialize_with = "two")]
    pub(crate) classes: [u8; 2],
}

/// An array as such would take the first two of three without a word.
fn two<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<[u8; 2], D::Error> {
    let classes = Vec::<u8>::deserialize(deserializer)?;
    <[u8; 2]>::try_from(classes).map_err(|classes| D::Error::invalid_length(classes.len(), &"two digits"))
}

/// The first `num_samples` images of the two classes in the file's order, pixels scaled to 0..1.
///
/// # Errors
/// [`DriverError::Io`] if the file cannot be read, [`DriverError::DataFile`] if its checksum is another, if it is not a
/// table of digits, or if it holds too few.
pub(crate) fn load(config: &Path, source: &Source, num_samples: usize) -> Result<Dataset> {
    let path = config.parent().unwrap_or(Path::new("")).join(&source.file);
    let problem = |problem: String| DriverError::DataFile { path: path.clone(), problem };
    let bytes = data_file::verified(&path, &source.sha256)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| problem(error.to_string()))?;
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let values = parse(line).ok_or_else(|| {
            problem(format!("line {} does not hold {NUM_PIXELS} pixels from 0 to 16 and a digit", index + 1))
        })?;
        let Some(class) = source.classes.iter().position(|&class| class == values[NUM_PIXELS]) else {
            continue;
        };
        if labels.len() < num_samples {
            inputs.extend(values[..NUM_PIXELS].iter().map(|&pixel| f64::from(pixel) / BRIGHTEST));
            labels.push(if class == 0 { 1.0 } else { -1.0 });
        }
    }
    if labels.len() < num_samples {
        let [one, other] = source.classes;
        let count = labels.len();
        return Err(problem(format!(
            "holds {count} images of {one} and {other}, {num_samples} were asked for"
        ))
        .into());
    }
    Ok(Dataset::new(NUM_PIXELS, inputs, labels)?)
}

fn parse(line: &str) -> Option<Vec<u8>> {
    let values = line.split(',').map(|entry| entry.parse().ok()).collect::<Option<Vec<u8>>>()?;
    let (class, pixels) = values.split_last()?;
    let is_image = pixels.len() == NUM_PIXELS && pixels.iter().all(|&pixel| f64::from(pixel) <= BRIGHTEST);
    (is_image && *class <= 9).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            file: "../digits/digits.csv".into(),
            sha256: "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8".to_owned(),
            classes: [3, 8],
        }
    }

    fn config() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs/digits.toml")
    }

    #[test]
    fn threes_and_eights_are_found() {
        let data = load(&config(), &source(), 357).unwrap();
        assert_eq!((data.num_samples(), data.num_inputs()), (357, NUM_PIXELS));
        assert_eq!(data.labels().iter().filter(|&&label| label > 0.0).count(), 183, "183 threes, 174 eights");
        let range = |row: usize| data.input(row).iter().all(|x| (0.0..=1.0).contains(x));
        assert!((0..357).all(range), "pixels from 0 to 1");
    }

    #[test]
    fn a_file_that_is_not_the_one_is_refused() {
        let damaged = Source { sha256: "0".repeat(64), ..source() };
        let error = load(&config(), &damaged, 10).unwrap_err().to_string();
        assert!(error.contains("sha256 is 6ebb3d2f") && error.contains("restore it"), "{error}");
        let error = load(&config(), &source(), 1000).unwrap_err().to_string();
        assert!(error.ends_with("holds 357 images of 3 and 8, 1000 were asked for"), "{error}");
        assert!(parse("1,2,3").is_none() && parse(&"1,".repeat(64)).is_none());
        let line = |pixel: u8, class: u8| format!("{}{class}", format!("{pixel},").repeat(NUM_PIXELS));
        assert!(parse(&line(16, 9)).is_some());
        assert!(parse(&line(17, 9)).is_none() && parse(&line(16, 10)).is_none(), "out of range");
    }

    #[test]
    fn a_third_class_is_not_ignored() {
        let source = |classes| format!("file = 'digits.csv'\nsha256 = ''\nclasses = {classes}");
        assert!(toml::from_str::<Source>(&source("[3, 8]")).is_ok());
        for classes in ["[3]", "[3, 4, 5]"] {
            let error = toml::from_str::<Source>(&source(classes)).unwrap_err().to_string();
            assert!(error.contains("expected two digits"), "{error}");
        }
    }
}
