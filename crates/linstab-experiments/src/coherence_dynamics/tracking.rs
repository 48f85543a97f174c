//! One training, with everything that is read along it.

use std::ops::ControlFlow;

use linstab_coherence::{coherence_from_traces, top_coherence};
use linstab_dynamics::mean_square::ThresholdTracker;
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme};
use linstab_linalg::lanczos::LanczosOptions;
use linstab_linalg::{Mat, Reduced, symmetric};
use linstab_relu::training::Progress;
use linstab_relu::{Curvature, Dataset, Outcome, Trainer, TwoLayer, sign_accuracy};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::metric::Record;
use crate::Result;

/// A training: a record for the start and the end of each epoch that was completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Record `e` is after `e` epochs.
    pub records: Vec<Record>,
    /// Whether the training diverged.
    pub diverged: bool,
}

/// The value to which iterations are carried: far more than a figure shows.
const LANCZOS: LanczosOptions = LanczosOptions {
    value_rtol: 1e-8,
    residual_rtol: 1e-4,
    max_applications: 2000,
    basis_size: 24,
    check_every: 4,
};

/// What a tracker needs to know of the training.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) config: &'a Config,
    pub(super) data: &'a Dataset,
    pub(super) validation: &'a Dataset,
}

/// Trains `network` and reads all metrics at each epoch.
pub(super) fn track(
    setting: Setting<'_>,
    trainer: &mut Trainer<'_>,
    mut network: TwoLayer,
    rng: &mut Pcg64,
) -> Result<Track> {
    let mut tracker = Tracker::new(setting)?;
    let (mut records, mut failure) = (Vec::new(), None);
    let observe = |progress: Progress<'_>| match tracker.record(progress.network) {
        Ok(record) => {
            records.push(record);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    let outcome = trainer.run(&mut network, rng, observe)?;
    failure.map_or(Ok(Track { records, diverged: matches!(outcome, Outcome::Diverged { .. }) }), Err)
}

/// Reads the metrics; eigenvectors and thresholds of the last epoch are where the next ones start.
struct Tracker<'a> {
    setting: Setting<'a>,
    sampling: BatchSampling,
    coherent: Vec<f64>,
    coherent_gauss_newton: Vec<f64>,
    sharpest: Option<Vec<f64>>,
    thresholds: ThresholdTracker,
}

impl<'a> Tracker<'a> {
    fn new(setting: Setting<'a>) -> Result<Self> {
        let n = setting.data.num_samples();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, setting.config.batch_size)?;
        let ones = vec![1.0; n];
        Ok(Self {
            setting,
            sampling,
            coherent: ones.clone(),
            coherent_gauss_newton: ones,
            sharpest: None,
            thresholds: ThresholdTracker::default(),
        })
    }

    fn record(&mut self, network: &TwoLayer) -> Result<Record> {
        let Setting { config, data, validation } = self.setting;
        let curvature = Curvature::at(network, data, config.loss)?;
        let gram = curvature.gradient_gram();
        let (matrix, num_negative) = coherence_from_traces(curvature.full_inner_products());
        let lambda_max_s = top_coherence(&matrix, &mut self.coherent, LANCZOS)?;
        let factor = config.loss.curvature_factor();
        let absolute = Mat::from_fn(gram.nrows(), gram.ncols(), |i, j| factor * gram[(i, j)].abs());
        let gauss_newton = top_coherence(&absolute, &mut self.coherent_gauss_newton, LANCZOS)?;
        let sharpest_sample = curvature.sample_sharpness().into_iter().fold(0.0, f64::max);
        let top = curvature.sharpness(self.sharpest.as_deref(), LANCZOS)?;
        self.sharpest = Some(top.vector);
        let predictions = network.predictions(validation)?;
        let n = data.num_samples();
        let num_pairs = (n * n) as f64;
        // In the order of METRICS.
        Ok([
            lambda_max_s,
            sharpest_sample,
            if sharpest_sample > 0.0 { lambda_max_s / sharpest_sample } else { f64::NAN },
            top.value,
            curvature.trace(),
            feature_rank(curvature.features(), config.width, config.explained_variance)?,
            if config.thresholds { self.threshold(&gram)? } else { f64::NAN },
            curvature.mean_loss(),
            sign_accuracy(curvature.predictions(), data.labels()),
            config.loss.mean(&predictions, validation.labels()),
            sign_accuracy(&predictions, validation.labels()),
            gradient_coherence(&gram, curvature.residuals()),
            num_negative as f64 / num_pairs,
            gauss_newton,
        ])
    }

    /// The exact threshold.
    fn threshold(&mut self, gram: &Mat<f64>) -> Result<f64> {
        let factor = self.setting.config.loss.curvature_factor();
        let reduced = Reduced::from_gram(gram.as_ref(), gram.nrows(), 1)?;
        // In units of the loss convention: H_i = 2s g_i g_i^T.
        let analysis = MeanSquare::new(&reduced, linstab_dynamics::Optimizer::sgd(), self.sampling)?;
        let threshold = self.thresholds.next(&analysis)?;
        Ok(threshold / factor)
    }
}

/// Number of principal components that explain a share of the variance; 0 without variance.
fn feature_rank(features: &[f64], width: usize, share: f64) -> Result<f64> {
    let n = (features.len() / width) as f64;
    let mut mean = vec![0.0; width];
    for row in features.chunks_exact(width) {
        for (mean, x) in mean.iter_mut().zip(row) {
            *mean += x / n;
        }
    }
    let mut covariance = Mat::<f64>::zeros(width, width);
    let mut centred = vec![0.0; width];
    for row in features.chunks_exact(width) {
        for ((c, x), mean) in centred.iter_mut().zip(row).zip(&mean) {
            *c = x - mean;
        }
        for (j, &right) in centred.iter().enumerate() {
            let mut column = covariance.col_mut(j);
            for (i, &left) in centred.iter().enumerate().skip(j) {
                column[i] += left * right;
            }
        }
    }
    let ascending = symmetric::eigenvalues(covariance.as_ref())?;
    let total: f64 = ascending.iter().map(|value| value.max(0.0)).sum();
    let mut explained = 0.0;
    // A share of 1 must not ask for rounding errors.
    let target = share * total * (1.0 - 1e-12);
    let needed = ascending.iter().rev().take_while(|value| {
        let before = explained;
        explained += value.max(0.0);
        before < target
    });
    Ok(needed.count() as f64)
}

/// `|sum_i e_i g_i|^2 / (n sum_i |e_i g_i|^2)`; NaN where all gradients vanish.
fn gradient_coherence(gram: &Mat<f64>, residuals: &[f64]) -> f64 {
    let n = residuals.len();
    let (mut whole, mut each) = (0.0, 0.0);
    for j in 0..n {
        let column: f64 = (0..n).map(|i| residuals[i] * gram[(i, j)]).sum();
        whole += residuals[j] * column;
        each += residuals[j] * residuals[j] * gram[(j, j)];
    }
    whole / (n as f64 * each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence_dynamics::METRICS;

    #[test]
    fn the_feature_rank_counts_directions() {
        // Variances 4 and 1 along the axes (of four samples), so 80 % and 20 %.
        let features = [2.0, 0.0, -2.0, 0.0, 0.0, 1.0, 0.0, -1.0];
        let rank = |share: f64| feature_rank(&features, 2, share).unwrap().round();
        assert!(
            (rank(0.79) - 1.0).abs() < 0.1 && (rank(0.81) - 2.0).abs() < 0.1 && (rank(1.0) - 2.0).abs() < 0.1
        );
        assert!(feature_rank(&[3.0; 8], 2, 0.9).unwrap().abs() < 0.1, "no variance");
    }

    #[test]
    fn gradients_that_coincide_cohere() {
        let alike = Mat::from_fn(3, 3, |_, _| 2.0);
        assert!((gradient_coherence(&alike, &[1.0; 3]) - 1.0).abs() < 1e-15);
        assert!(gradient_coherence(&alike, &[1.0, 1.0, -2.0]).abs() < 1e-15, "they cancel");
        let orthogonal = Mat::<f64>::identity(3, 3);
        assert!((gradient_coherence(&orthogonal, &[1.0; 3]) - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn every_metric_has_its_place() {
        for (index, metric) in METRICS.into_iter().enumerate() {
            assert_eq!(metric.index(), index, "{metric:?}");
        }
    }
}
