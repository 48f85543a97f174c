//! The example that `linstab analyze` is shown on: per-sample gradients of a small network that fits 100 optical digits.
//!
//! A 64-10-1 ReLU network tells threes from eights, is trained by SGD and polished to interpolation by Gauss-Newton steps, so that its
//! gradients are the factors of its Hessians: `H_i = g_i g_i^T` for the loss `(f - y)^2 / 2`.

use std::path::{Path, PathBuf};

use linstab_linalg::Ensemble as _;
use linstab_relu::polish::{self, PolishOptions};
use linstab_relu::{Curvature, SquaredLoss, Trainer, Training, TrainingRule, TwoLayer, training};

use crate::Result;
use crate::digits::data::{self, Source};
use linstab_driver::streams::StreamKey;

/// Where the digits are, from the root of the repository.
pub const DIGITS: &str = "data/digits/digits.csv";

const SHA256: &str = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8";
const NUM_SAMPLES: usize = 100;
const WIDTH: usize = 10;
const NUM_EPOCHS: usize = 200;
const SEED: u64 = 2026;

/// Gradients of a network at a minimum.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleFactors {
    /// Row-major (samples, parameters).
    pub factors: Vec<f32>,
    /// The digit of each sample.
    pub labels: Vec<f32>,
    /// Number of parameters.
    pub num_parameters: usize,
    /// Mean loss at the minimum.
    pub loss: f64,
}

/// Trains the network on the digits in `file` and takes its gradients.
///
/// # Errors
/// [`linstab_driver::DriverError::Io`] or [`linstab_driver::DriverError::DataFile`] if the digits are missing or damaged.
#[expect(clippy::cast_possible_truncation, reason = "the example is written in single precision")]
pub fn of_digits(file: &Path) -> Result<ExampleFactors> {
    let source = Source { file: PathBuf::from(file), sha256: SHA256.to_owned(), classes: [3, 8] };
    let data = data::load(Path::new(""), &source, NUM_SAMPLES)?;
    let mut rng = StreamKey::new(SEED, "example-factors").generator();
    let mut network = TwoLayer::uniform(data.num_inputs(), WIDTH, &mut rng)?;
    let plan = Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.02, 10, NUM_EPOCHS);
    Trainer::new(plan, &data, WIDTH)?.run(&mut network, &mut rng, training::unobserved)?;
    let polished = polish::run(&network, &data, SquaredLoss::Half, PolishOptions::default())?;
    let ensemble = Curvature::at(&polished.network, &data, SquaredLoss::Half)?.gauss_newton()?;
    let (num_samples, num_parameters) = (ensemble.num_samples(), ensemble.dim());
    let rows = ensemble.rows();
    let entry = |at: usize| rows[(at / num_parameters, at % num_parameters)] as f32;
    Ok(ExampleFactors {
        factors: (0..num_samples * num_parameters).map(entry).collect(),
        labels: data.labels().iter().map(|&label| if label > 0.0 { 3.0 } else { 8.0 }).collect(),
        num_parameters,
        loss: polished.loss,
    })
}
