//! The experiment `coherence-dynamics`: Table 1 against the released code, the tracked thresholds, the order of the optimizers.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::Path;

use linstab_driver::engine::Cells as _;
use linstab_experiments::coherence_dynamics::{Config, METRICS, Metric, Track, TrainingCells};
use rayon::prelude::*;

fn config() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs/coherence-dynamics.toml");
    Config::read(&path).unwrap()
}

/// Mean and standard deviation of a metric over tracks, after so many epochs.
fn statistics(tracks: &[Track], metric: Metric, epoch: usize) -> (f64, f64) {
    let index = METRICS.iter().position(|&one| one == metric).unwrap();
    let values: Vec<f64> = tracks.iter().map(|track| track.records[epoch][index]).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// All seeds at the first learning rate without contrastive term, by radius.
fn plain_trainings(config: &Config) -> Vec<(f64, Vec<Track>)> {
    let cells = TrainingCells::new(config, "test");
    let indices = |rho: f64| {
        let wanted = cells.cells().iter().enumerate().filter(move |(_, cell)| {
            cell.rho.to_bits() == rho.to_bits()
                && cell.contrastive_weight <= 0.0
                && cell.learning_rate.to_bits() == config.learning_rate[0].to_bits()
        });
        wanted.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let compute = |rho: f64| indices(rho).par_iter().map(|&index| cells.compute(index).unwrap()).collect();
    std::iter::once(0.0).chain(config.rho.iter().copied()).map(|rho| (rho, compute(rho))).collect()
}

#[test]
fn table_1_is_that_of_the_released_code() {
    let config = Config { thresholds: false, ..config() };
    assert!(config.num_seeds >= 20, "enough seeds to tell");
    let trainings = plain_trainings(&config);
    let of = |rho: f64| &trainings.iter().find(|(one, _)| one.to_bits() == rho.to_bits()).unwrap().1;
    let (mut num_compared, mut wrong_convention_differs) = (0, false);
    for reference in config.reference.iter().filter(|reference| reference.source == "released-code") {
        let before = matches!(reference.metric, Metric::LambdaMaxS | Metric::MaxSampleSharpness);
        let epoch = config.num_epochs - usize::from(before);
        for value in &reference.values {
            let (mean, sd) = statistics(of(value.rho), reference.metric, epoch);
            let squared = |sd: f64, n: usize| sd * sd / n as f64;
            let error = (squared(sd, config.num_seeds)
                + squared(value.sd.unwrap(), reference.num_seeds.unwrap()))
            .sqrt();
            let deviation = (mean - value.mean).abs() / error;
            assert!(
                deviation < 3.0,
                "{:?} rho={}: {mean} against {}",
                reference.metric,
                value.rho,
                value.mean
            );
            // Negative control: with half the loss every curvature is half as large.
            wrong_convention_differs |= (0.5 * mean - value.mean).abs() / error > 3.0;
            num_compared += 1;
        }
        let order = [0.0, 0.05, 0.1, 0.2].map(|rho| statistics(of(rho), reference.metric, epoch).0);
        assert!(
            order.is_sorted_by(|a, b| a > b),
            "SGD above SAM .05, .1, .2: {:?} {order:?}",
            reference.metric
        );
    }
    assert!(num_compared == 12 && wrong_convention_differs, "{num_compared} numbers");
}

#[test]
fn training_at_a_large_learning_rate_rides_the_edge_of_mean_square_stability() {
    let mut config = config();
    config.num_seeds = 6;
    config.learning_rate = vec![0.3];
    config.rho = vec![0.2];
    let trainings = plain_trainings(&config);
    let (threshold, sd) = statistics(&trainings[0].1, Metric::MaxLearningRate, config.num_epochs);
    let error = sd / 6.0_f64.sqrt();
    assert!(
        threshold > 0.3 - 3.0 * error && threshold < 0.3 * 1.25,
        "SGD ends next to its learning rate: {threshold}"
    );
    let sam = statistics(&trainings[1].1, Metric::MaxLearningRate, config.num_epochs).0;
    assert!(sam > 1.5 * threshold, "SAM ends far from it: {sam}");
}

/// The same bits for every number of threads and in every order.
#[test]
fn a_training_depends_on_nothing_but_its_cell() {
    let mut config = config();
    (config.num_seeds, config.num_epochs) = (2, 3);
    let cells = TrainingCells::new(&config, "test");
    let bits = |num_threads: usize| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        let all: Vec<Track> = pool
            .install(|| (0..cells.num_cells()).into_par_iter().map(|i| cells.compute(i).unwrap()).collect());
        all.iter().flat_map(|track| track.records.iter().flatten().map(|x| x.to_bits())).collect()
    };
    let one = bits(1);
    assert_eq!(one, bits(4));
    assert!(one.len() == cells.num_cells() * 4 * METRICS.len(), "start and three epochs");
}

#[test]
fn a_divergence_is_a_result() {
    let mut config = config();
    (config.num_seeds, config.learning_rate, config.rho) = (1, vec![50.0], vec![0.05]);
    let cells = TrainingCells::new(&config, "test");
    let track = cells.compute(0).unwrap();
    assert!(track.diverged && track.records.len() < config.num_epochs, "{} records", track.records.len());
}

#[test]
fn bad_configurations_are_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs/coherence-dynamics.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (from, to, expected) in [
        ("width = 10", "width = 0", "width is 0, allowed: 1 to 10000"),
        ("num_inputs = 15", "num_inputs = 1", "num_inputs is 1, allowed: 2 to 10000"),
        ("batch_size = 10", "batch_size = 51", "batch_size is 51, allowed: 1 to 50"),
        ("learning_rate = [0.1, 0.3]", "learning_rate = []", "learning_rate is empty"),
        ("rho = [0.01,", "rho = [-0.01,", "rho is -0.01, allowed: positive"),
        ("loss = \"full\"", "loss = \"double\"", "unknown variant `double`"),
        ("divergence_loss = 1e6", "divergence_loss = 0.0", "divergence_loss is 0, allowed: above 0"),
        ("num_seeds = 5", "num_seeds = 0", "reference.num_seeds is 0, allowed: at least 1"),
        ("mean = 442.9", "mean = nan", "reference.values.mean is NaN"),
        ("sd = 74.0", "sd = -74.0", "reference.values.sd is -74"),
        (
            "{ rho = 0.2, mean = 167.5",
            "{ rho = 7.0, mean = 167.5",
            "reference.values.rho is 7, allowed: 0 or one of",
        ),
        ("explained_variance = 0.9", "explained_variance = 0.0", "explained_variance is 0"),
    ] {
        let path = folder.path().join("coherence-dynamics.toml");
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let error = Config::read(&path).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
    }
}
