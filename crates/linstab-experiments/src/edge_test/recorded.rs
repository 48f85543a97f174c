//! The record for others: what statements of the paper are judged on.

use std::collections::BTreeMap;

use linstab_driver::experiment::DataDigest;
use linstab_driver::{Context, Result};
use linstab_dynamics::Optimizer;

use super::config::Config;
use super::records::Records;
use super::settings::{self, Scope, Setting};
use super::trainings;
use super::transition::Trial;

/// The recorded runs beside interpolating minima, and ordinary trainings.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What was run with an optimizer as it is analysed.
    pub settings: Vec<RecordedSetting>,
    /// Each training at one learning rate: its optimizer, loader and batch size, and the median, over the last half of its steps, of the
    /// learning rate in units of the exact threshold of its own optimizer and loader.
    pub late_ratios: Vec<(String, f64)>,
    /// The files that were read.
    pub digests: Vec<DataDigest>,
}

/// Runs of an optimizer with a loader and a batch size beside a minimum.
#[derive(Clone, Debug)]
pub struct RecordedSetting {
    /// The minimum's name.
    pub minimum: String,
    /// As it was run.
    pub optimizer: Optimizer,
    /// The loader's name.
    pub sampling: String,
    /// Samples of a batch.
    pub batch_size: usize,
    /// The learning rate at which half of the runs grow; none if it lies beyond those that were tried.
    pub transition: Option<f64>,
    predictions: BTreeMap<String, f64>,
    trials: Vec<Trial>,
}

impl Recorded {
    /// The files of the record, which are read and checked, but not judged.
    ///
    /// # Errors
    /// As [`Recorded::read`].
    pub fn digests(context: &Context<'_>) -> Result<Vec<DataDigest>> {
        Ok(Records::read(&Config::load(context)?.folder(context))?.digests)
    }

    /// The record that the configuration of the experiment names.
    ///
    /// # Errors
    /// As the experiment: for a bad configuration, and for records that make no sense.
    pub fn read(context: &Context<'_>) -> Result<Self> {
        let records = Records::read(&Config::load(context)?.folder(context))?;
        let settings = settings::settings(&records);
        let of_theory = settings.iter().filter(|setting| setting.scope() == Scope::Interpolating);
        let trainings = trainings::trainings(&records.trainings);
        let late_ratios =
            trainings.iter().filter(|training| training.has_one_learning_rate()).filter_map(|training| {
                Some((training.title.clone(), training.late_ratio(|step| step.mean_square)?))
            });
        Ok(Self {
            settings: of_theory.filter_map(RecordedSetting::of).collect(),
            late_ratios: late_ratios.collect(),
            digests: records.digests.clone(),
        })
    }
}

impl RecordedSetting {
    fn of(setting: &Setting<'_>) -> Option<Self> {
        let predictions = setting.predictions.iter();
        Some(Self {
            minimum: setting.minimum.minimum.clone(),
            optimizer: setting.specification.parse().ok()?,
            sampling: setting.sampling.to_owned(),
            batch_size: setting.batch_size,
            transition: setting.transition.value,
            predictions: predictions.map(|one| (one.predictor.to_owned(), one.learning_rate)).collect(),
            trials: setting.trials.clone(),
        })
    }

    /// The learning rate at which a predictor says unstable, if it speaks of this.
    pub fn prediction(&self, predictor: &str) -> Option<f64> {
        self.predictions.get(predictor).copied()
    }

    /// Of the runs at this learning rate and above: how many there are, and how many grew.
    pub fn runs_from(&self, learning_rate: f64) -> (usize, usize) {
        let above = self.trials.iter().filter(|trial| trial.learning_rate >= learning_rate);
        above.fold((0, 0), |(runs, grown), trial| (runs + trial.num_runs, grown + trial.num_grown))
    }
}
