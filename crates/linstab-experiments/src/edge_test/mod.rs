//! The experiment `edge-test`: where does training become unstable, and who predicts it?
//!
//! Networks are trained to a minimum, and training starts again beside it at learning rates around the exact threshold of its optimizer and
//! loader. Those runs are recorded (`cargo xtask evidence`); this experiment computes what follows from them: the learning rate at which half
//! of the runs grow (`transition.rs`), and how far each predictor is from it.

mod batches;
mod checks;
mod config;
mod count;
mod drawing;
mod errors;
mod findings;
mod frameworks;
mod reading;
mod recorded;
mod records;
mod section;
mod settings;
mod summary;
mod tables;
mod trainings;
mod transition;
mod verdicts;
mod words;

pub use config::{Bootstrap, Config, Judgement};
pub use recorded::{Recorded, RecordedSetting};
pub use records::{Minimum, Provenance, Records, Restarts, Threshold, TrainingStep};

use linstab_driver::ResultsFolder;
use linstab_driver::table;
use linstab_driver::{Context, Experiment, Finding, Inputs};

use findings::Results;
use tables::{PredictionRow, RunsRow, SettingRow};
use verdicts::Verdicts;

/// The experiment `edge-test`.
#[derive(Clone, Copy, Debug)]
pub struct EdgeTest;

const ID: &str = "edge-test";

impl Experiment for EdgeTest {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 2.8 } else { 4.3 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        let data = Records::read(&config.folder(context))?.digests;
        Ok(Inputs { data, ..Inputs::new(&config, config.seed)? })
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let records = Records::read(&config.folder(context))?;
        let settings = settings::settings(&records);
        let errors = errors::rows(&config, &settings);
        let batches = batches::rows(&settings);
        let verdicts = Verdicts::of(settings.iter(), config.judgement);
        let seeds = verdicts::by_seed(&settings, config.judgement);
        let trainings = trainings::trainings(&records.trainings);
        let frameworks = frameworks::rows(&settings, &records.again);
        let rows: Vec<SettingRow> = settings.iter().map(SettingRow::of).collect();
        table::write(results, ID, &rows)?;
        table::write(results, "edge-test-predictions", &PredictionRow::all(&settings))?;
        table::write(results, "edge-test-runs", &RunsRow::all(&settings))?;
        table::write(results, "edge-test-errors", &errors)?;
        table::write(results, "edge-test-batches", &batches)?;
        table::write(results, "edge-test-seeds", &seeds)?;
        table::write(results, "edge-test-trainings", &trainings::rows(&trainings))?;
        table::write(results, "edge-test-frameworks", &frameworks)?;
        drawing::draw(&settings, &errors, &verdicts, &trainings, results)?;
        let found = Results {
            settings: &settings,
            errors: &errors,
            batches: &batches,
            verdicts: &verdicts,
            seeds: &seeds,
            trainings: &trainings,
            frameworks: &frameworks,
            provenance: &records.provenance,
        };
        table::write(results, "edge-test-findings", &findings::rows(&found))?;
        Finding::new(&config, config.seed, summary::as_text(&found), section::section(&found))
    }
}
