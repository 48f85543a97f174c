//! The three ensembles: points of parameter space, each with the curvatures of its samples.

use std::path::Path;

use linstab_linalg::{Factored, Mat, Reduced};

use super::config::{AsRun, ConvolutionalConfig};
use crate::coherence_dynamics::{self, Cell};
use crate::{Result, data_file, digits};
use linstab_driver::DriverError;

/// The ensembles, in their order.
pub(super) const ENSEMBLES: [&str; 3] = ["digits", "convolutional", "training"];

/// What an ensemble is, for people.
pub(super) fn title(ensemble: &str) -> &'static str {
    match ensemble {
        "digits" => "digits, at a minimum",
        "convolutional" => "convolutional, at a minimum",
        _ => "along a training",
    }
}

/// A point of parameter space.
pub(super) struct Point {
    /// One of [`ENSEMBLES`].
    pub(super) ensemble: &'static str,
    /// The epoch of a training.
    pub(super) epoch: Option<usize>,
    /// Gauss-Newton curvatures of the samples.
    pub(super) curvatures: Reduced,
    /// Coefficients of the gradients; none where all vanish.
    pub(super) coefficients: Option<Vec<f64>>,
    /// Number of parameters, where it is known.
    pub(super) num_parameters: Option<usize>,
    /// Batch sizes that are asked about.
    pub(super) batch_sizes: Vec<usize>,
}

/// The data files of a configuration, as it names them, with their checksums, which they have.
pub(super) fn data(as_run: &AsRun, configs: &Path) -> Result<Vec<(String, String)>> {
    let ConvolutionalConfig { file, sha256, .. } = &as_run.config.convolutional;
    let digits = &as_run.minimum.digits;
    let files = [(&digits.file, &digits.sha256), (file, sha256)];
    files
        .into_iter()
        .map(|(file, sha256)| {
            data_file::verified(&configs.join(file), sha256)?;
            Ok((file.display().to_string(), sha256.clone()))
        })
        .collect()
}

/// All points of a configuration, whose folder holds the other configurations.
pub(super) fn all(as_run: &AsRun, configs: &Path) -> Result<Vec<Point>> {
    let AsRun { config, minimum, trainings } = as_run;
    let (curvatures, num_parameters) = digits::ensemble(minimum, &configs.join("digits.toml"))?;
    let mut points = vec![Point {
        ensemble: ENSEMBLES[0],
        epoch: None,
        curvatures,
        coefficients: None,
        num_parameters: Some(num_parameters),
        batch_sizes: config.digits.batch_sizes.clone(),
    }];
    points.push(convolutional(&config.convolutional, configs)?);
    let cell = Cell {
        rho: 0.0,
        contrastive_weight: 0.0,
        learning_rate: config.training.learning_rate,
        seed: config.training.data_set,
    };
    points.extend(coherence_dynamics::at_epochs(
        trainings,
        &cell,
        &config.training.epochs,
        |epoch, curvature| {
            let factor = curvature.loss().curvature_factor();
            let gram = curvature.gradient_gram();
            let scaled = Mat::from_fn(gram.nrows(), gram.ncols(), |i, j| factor * gram[(i, j)]);
            // H_i = f f^T with f = sqrt(2 s) g, and the gradient of the loss is 2 s e g = sqrt(2 s) e f.
            let coefficients = curvature.residuals().iter().map(|e| factor.sqrt() * e).collect();
            Ok(Point {
                ensemble: ENSEMBLES[2],
                epoch: Some(epoch),
                curvatures: Reduced::from_gram(scaled.as_ref(), scaled.nrows(), 1)?,
                coefficients: Some(coefficients),
                num_parameters: Some(curvature.num_parameters()),
                batch_sizes: vec![trainings.batch_size],
            })
        },
    )?);
    Ok(points)
}

fn convolutional(config: &ConvolutionalConfig, configs: &Path) -> Result<Point> {
    let path = configs.join(&config.file);
    let bytes = data_file::verified(&path, &config.sha256)?;
    let (n, k) = (config.num_samples, config.num_factors);
    let entries = single_precision(&bytes).filter(|entries| entries.len() % (n * k) == 0);
    let problem = format!("is no .npy file of float32 with {n} samples of {k} factors");
    let entries = entries.ok_or(DriverError::DataFile { path, problem })?;
    let curvatures = Reduced::of(&Factored::new(n, k, entries.len() / (n * k), entries)?)?;
    Ok(Point {
        ensemble: ENSEMBLES[1],
        epoch: None,
        curvatures,
        coefficients: None,
        num_parameters: None,
        batch_sizes: config.batch_sizes.clone(),
    })
}

/// The numbers of a `.npy` file of the version 1.0, in the order of the file. The checksum has vouched for what its header says.
fn single_precision(bytes: &[u8]) -> Option<Vec<f64>> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00")?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (header, numbers) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let header = std::str::from_utf8(header).ok()?;
    let plain = header.contains("'<f4'") && header.contains("'fortran_order': False");
    let (chunks, left) = numbers.as_chunks::<4>();
    (plain && left.is_empty())
        .then(|| chunks.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_other_files_refused() {
        let file = |header: &str, numbers: &[u8]| {
            let length = u16::try_from(header.len()).unwrap().to_le_bytes();
            [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), numbers].concat()
        };
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
        let numbers = [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat();
        assert_eq!(single_precision(&file(header, &numbers)), Some(vec![1.5, -2.0]));
        assert_eq!(single_precision(&file(header, &numbers[1..])), None, "half a number");
        assert_eq!(single_precision(&file(&header.replace("<f4", "<f8"), &numbers)), None);
        assert_eq!(single_precision(&file(&header.replace("False", "True"), &numbers)), None);
        assert_eq!(single_precision(b"\x93NUMPY\x01\x00\xff\xff"), None, "cut short");
    }
}
