//! What happens: training from beside the minimum, and how each run is judged.

use std::ops::ControlFlow;
use std::path::Path;

use linstab_relu::training::Progress;
use linstab_relu::{BatchOrder, Trainer, Training, TrainingRule, TwoLayer};
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::{Config, Contender, Protocol};
use super::minimum::Minimum;
use super::thresholds::ThresholdRow;
use crate::Result;
use linstab_driver::DriverError;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::statistics::fit_line;
use linstab_driver::streams::StreamKey;
use linstab_driver::table::number;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RunKey<'a> {
    pub(super) contender: &'a Contender,
    pub(super) batch_size: usize,
    /// The threshold that the learning rate is relative to.
    pub(super) max_learning_rate: f64,
    pub(super) ratio: f64,
    pub(super) run: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// All steps were made.
    Completed,
    /// The loss passed [`Protocol::grown_loss`]; only SAM as practised goes on after that.
    LeftLinearRegime,
    /// The loss fell below [`Protocol::decayed_loss`].
    ReachedRounding,
}

/// A run's losses and the verdict; the checkpoint stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunResult {
    /// Step and mean loss over all samples, from the start on.
    pub(super) records: Vec<(f64, f64)>,
    pub(super) end: End,
    /// Slope of the logarithm of the loss over the second half of the steps that were made, a step; NaN where there is none.
    pub(super) slope: f64,
    pub(super) grew: bool,
}

impl RunResult {
    /// The verdict over recorded losses.
    fn judge(records: Vec<(f64, f64)>, end: End) -> Self {
        let last = records.last().map_or(0.0, |(step, _)| *step);
        let second_half = records.iter().filter(|(step, loss)| 2.0 * step >= last && loss.is_finite());
        let points: Vec<(f64, f64)> = second_half.map(|(step, loss)| (*step, loss.ln())).collect();
        let slope = fit_line(&points).map_or(f64::NAN, |line| line.slope);
        let grew = match end {
            End::Completed => slope > 0.0,
            End::LeftLinearRegime => true,
            End::ReachedRounding => false,
        };
        Self { records, end, slope, grew }
    }
}

/// A row of `tables/digits-losses.csv`: the loss of a run at a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct LossRow {
    /// Name of the contender.
    pub(super) optimizer: String,
    /// Batch size `B`.
    pub(super) batch_size: usize,
    /// Learning rate in units of the threshold.
    pub(super) learning_rate_ratio: f64,
    /// The run.
    pub(super) run: usize,
    /// Steps that were made.
    pub(super) step: f64,
    /// Mean loss over all samples.
    #[serde(serialize_with = "number")]
    pub(super) loss: f64,
}

/// The recorded losses of the runs at some ratios.
pub(super) fn losses(keys: &[RunKey<'_>], results: &[RunResult], ratios: &[Option<f64>]) -> Vec<LossRow> {
    let is_shown =
        |key: &RunKey<'_>| ratios.iter().flatten().any(|ratio| ratio.to_bits() == key.ratio.to_bits());
    let of_run = |(key, result): (&RunKey<'_>, &RunResult)| -> Vec<LossRow> {
        let RunKey { contender, batch_size, ratio: learning_rate_ratio, run, .. } = *key;
        let row = |&(step, loss): &(f64, f64)| LossRow {
            optimizer: contender.name.clone(),
            batch_size,
            learning_rate_ratio,
            run,
            step,
            loss,
        };
        result.records.iter().map(row).collect()
    };
    keys.iter().zip(results).filter(|(key, _)| is_shown(key)).flat_map(of_run).collect()
}

/// All runs of a configuration.
pub(super) struct RunCells<'a> {
    config: &'a Config,
    minimum: &'a Minimum,
    identity: Identity,
    keys: Vec<RunKey<'a>>,
}

impl<'a> RunCells<'a> {
    pub(super) fn new(
        config: &'a Config,
        minimum: &'a Minimum,
        thresholds: &[ThresholdRow],
        program: &str,
    ) -> Self {
        let mut keys = Vec::new();
        for contender in &config.contenders {
            let analysed = &config.analysed_as(contender).name;
            for row in thresholds.iter().filter(|row| row.optimizer == *analysed) {
                for &ratio in &config.cells.learning_rate_ratios {
                    keys.extend((0..contender.num_runs).map(|run| RunKey {
                        contender,
                        batch_size: row.batch_size,
                        max_learning_rate: row.max_learning_rate,
                        ratio,
                        run,
                    }));
                }
            }
        }
        let identity = Identity::new(program, &[ID, "runs", &format!("{config:?}")]);
        Self { config, minimum, identity, keys }
    }

    pub(super) fn keys(&self) -> &[RunKey<'a>] {
        &self.keys
    }

    /// Refuses a distance from which a run would be judged before its first step.
    ///
    /// # Errors
    /// [`DriverError::ConfigValue`] that names `path`.
    pub(super) fn require_undecided_starts(&self, path: &Path) -> Result<()> {
        let &Protocol { distance, grown_loss, decayed_loss, .. } = &self.config.protocol;
        for key in &self.keys {
            let loss = self.loss_of(&self.start(key)?);
            if !(decayed_loss..=grown_loss).contains(&loss) {
                let range = format!("decayed_loss = {decayed_loss:e} and grown_loss = {grown_loss:e}");
                return Err(crate::ExperimentError::Driver(DriverError::ConfigValue {
                    path: path.to_path_buf(),
                    key: "protocol.distance".to_owned(),
                    value: format!("{distance:e}, where a run starts at a loss of {loss:e}"),
                    allowed: format!("distances from which all runs start between {range}"),
                }));
            }
        }
        Ok(())
    }

    fn start(&self, key: &RunKey<'_>) -> Result<TwoLayer> {
        let minimum = &self.minimum.network;
        let spread = self.config.protocol.distance / (minimum.parameters().len() as f64).sqrt();
        Ok(minimum.perturbed(spread, &mut self.stream(key).number(0).generator())?)
    }

    fn training(&self, key: &RunKey<'_>) -> Training {
        let (config, contender) = (self.config, key.contender);
        let rule = match (contender.normalised_ascent, contender.optimizer.rho_over_alpha()) {
            (Some(rho), _) => TrainingRule::Sam { rho },
            (None, rho_over_alpha) if rho_over_alpha > 0.0 => TrainingRule::FullBatchSam { rho_over_alpha },
            _ => TrainingRule::Sgd,
        };
        let num_steps = config.num_steps(&contender.num_steps, key.batch_size);
        let steps_per_epoch = self.steps_per_epoch(key);
        let batch_order = if contender.reshuffles() {
            BatchOrder::Shuffled
        } else {
            BatchOrder::Independent { steps_per_epoch }
        };
        let (learning_rate, num_epochs) =
            (key.ratio * key.max_learning_rate, num_steps.div_ceil(steps_per_epoch));
        let plain = Training::new(rule, config.minimum.loss, learning_rate, key.batch_size, num_epochs);
        Training { recursion: contender.optimizer.recursion(), batch_order, ..plain }
    }

    /// Steps between records.
    fn steps_per_epoch(&self, key: &RunKey<'_>) -> usize {
        let Config { protocol, num_samples, .. } = self.config;
        if key.contender.reshuffles() {
            num_samples.div_ceil(key.batch_size)
        } else {
            self.config.num_steps(&key.contender.num_steps, key.batch_size).div_ceil(protocol.num_records)
        }
    }

    /// The address of a run's random streams: start and batches are numbered below it. A run at another ratio starts elsewhere.
    fn stream(&self, key: &RunKey<'_>) -> StreamKey {
        StreamKey::new(self.config.seed, ID)
            .text("run")
            .text(&key.contender.name)
            .number(key.batch_size as u64)
            .float(key.ratio)
            .number(key.run as u64)
    }

    fn loss_of(&self, network: &TwoLayer) -> f64 {
        let data = &self.minimum.data;
        let loss = |predictions: Vec<f64>| self.config.minimum.loss.mean(&predictions, data.labels());
        network.predictions(data).map_or(f64::INFINITY, loss)
    }
}

impl Cells for RunCells<'_> {
    type Error = crate::ExperimentError;
    type Output = RunResult;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.keys.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<RunResult> {
        let key = &self.keys[index];
        let &Protocol { grown_loss, decayed_loss, .. } = &self.config.protocol;
        let (mut network, training) = (self.start(key)?, self.training(key));
        let steps_per_epoch = self.steps_per_epoch(key);
        let (mut records, mut end) = (Vec::new(), End::Completed);
        let observer = |progress: Progress<'_>| {
            let loss = self.loss_of(progress.network);
            records.push(((progress.epoch * steps_per_epoch) as f64, loss));
            if end != End::LeftLinearRegime {
                end = match loss {
                    loss if loss < decayed_loss => End::ReachedRounding,
                    loss if loss <= grown_loss => End::Completed,
                    _ => End::LeftLinearRegime,
                };
            }
            // SAM as practised leaves at once; where it settles is what there is to see.
            let followed = end == End::LeftLinearRegime && key.contender.normalised_ascent.is_some();
            if end != End::Completed && !followed {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut trainer = Trainer::new(training, &self.minimum.data, self.minimum.network.width())?;
        if key.contender.is_preconditioned() {
            trainer = trainer.preconditioned(&self.minimum.preconditioner)?;
        }
        let outcome = trainer.run(&mut network, &mut self.stream(key).number(1).generator(), observer)?;
        if let linstab_relu::Outcome::Diverged { epoch, .. } = outcome {
            records.push(((epoch * steps_per_epoch) as f64, f64::INFINITY));
            end = End::LeftLinearRegime;
        }
        Ok(RunResult::judge(records, end))
    }
}

/// A row of `tables/digits.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RunRow {
    /// Name of the contender.
    pub(super) optimizer: String,
    /// Batch size `B`.
    pub(super) batch_size: usize,
    /// Threshold eta* of its optimizer and loader.
    #[serde(serialize_with = "number")]
    pub(super) max_learning_rate: f64,
    /// Learning rate in units of it.
    pub(super) learning_rate_ratio: f64,
    /// Number of the run, from 0.
    pub(super) run: usize,
    /// Mean loss over all samples at the start.
    #[serde(serialize_with = "number")]
    pub(super) initial_loss: f64,
    /// The same at the end.
    #[serde(serialize_with = "number")]
    pub(super) final_loss: f64,
    /// The verdict.
    pub(super) grew: bool,
    /// `completed`, `left-linear-regime` or `reached-rounding`.
    pub(super) end: End,
    /// Steps up to there.
    pub(super) num_steps: f64,
    /// Slope of the logarithm of the loss, a step, over the second half of them.
    #[serde(serialize_with = "number")]
    pub(super) slope: f64,
}

impl RunRow {
    pub(super) fn new(key: &RunKey<'_>, result: &RunResult) -> Self {
        let loss = |record: Option<&(f64, f64)>| record.map_or(f64::NAN, |(_, loss)| *loss);
        Self {
            optimizer: key.contender.name.clone(),
            batch_size: key.batch_size,
            max_learning_rate: key.max_learning_rate,
            learning_rate_ratio: key.ratio,
            run: key.run,
            initial_loss: loss(result.records.first()),
            final_loss: loss(result.records.last()),
            grew: result.grew,
            end: result.end,
            num_steps: result.records.last().map_or(0.0, |(step, _)| *step),
            slope: result.slope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(loss: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..=10).map(|record| (f64::from(10 * record), loss(f64::from(record)))).collect()
    }

    /// The ratio of end to start misleads: what counts is where the loss is going.
    #[test]
    fn the_second_half_decides() {
        let falls_then_rises = curve(|t| if t < 5.0 { (-3.0 * t).exp() } else { (-15.0 + (t - 5.0)).exp() });
        let judged = RunResult::judge(falls_then_rises, End::Completed);
        assert!(judged.grew && (judged.slope - 0.1).abs() < 1e-12, "e-fold a record of 10 steps: {judged:?}");
        let rises_then_falls = curve(|t| if t < 5.0 { (3.0 * t).exp() } else { (15.0 - (t - 5.0)).exp() });
        let judged = RunResult::judge(rises_then_falls, End::Completed);
        assert!(!judged.grew && (judged.slope + 0.1).abs() < 1e-12, "{judged:?}");
    }

    #[test]
    fn an_early_end_is_a_verdict() {
        assert!(RunResult::judge(curve(|t| (-t).exp()), End::LeftLinearRegime).grew);
        assert!(!RunResult::judge(curve(f64::exp), End::ReachedRounding).grew);
        let at_once = RunResult::judge(vec![(0.0, 1.0), (5.0, f64::INFINITY)], End::LeftLinearRegime);
        assert!(at_once.grew && at_once.slope.is_nan(), "no line through one point: {at_once:?}");
    }
}
