//! Slow, obvious twins of the fast kernels, and random problems, for property tests here and in the crates above.
//!
//! Everything is written from the definition, over parameters in the order (W2, W1, b1).

use linstab_linalg::Mat;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

use crate::{BatchOrder, Dataset, SquaredLoss, Training, TrainingRule, TwoLayer, draws};

/// A random network in which some units are silent everywhere, some sit exactly on their kink, and some have no weight in
/// the output.
///
/// # Panics
/// If a size is 0.
pub fn random_network(seed: u64, num_inputs: usize, width: usize) -> TwoLayer {
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut output, mut hidden, mut biases) = (vec![], vec![], vec![]);
    for _ in 0..width {
        let kind = rng.random_range(0..10);
        output.push(if kind == 0 { 0.0 } else { rng.random_range(-2.0..2.0) });
        let scale = if kind == 1 { 0.0 } else { 1.0 };
        hidden.extend((0..num_inputs).map(|_| scale * rng.random_range(-1.0..1.0)));
        biases.push(match kind {
            1 => 0.0,
            2 => -100.0,
            _ => rng.random_range(-1.0..1.0),
        });
    }
    TwoLayer::from_parts(num_inputs, &output, &hidden, &biases)
        .expect("finite parameters of the right number")
}

/// Random data: inputs are uniform on `[-2, 2)` or, for every other seed, random signs; labels are random signs.
///
/// # Panics
/// If a size is 0.
pub fn random_dataset(seed: u64, num_samples: usize, num_inputs: usize) -> Dataset {
    let mut rng = Pcg64::seed_from_u64(seed);
    let sign = |rng: &mut Pcg64| if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let num_entries = num_samples * num_inputs;
    let inputs = if seed.is_multiple_of(2) {
        (0..num_entries).map(|_| rng.random_range(-2.0..2.0)).collect()
    } else {
        (0..num_entries).map(|_| sign(&mut rng)).collect()
    };
    let labels = (0..num_samples).map(|_| sign(&mut rng)).collect();
    Dataset::new(num_inputs, inputs, labels).expect("finite data of the right size")
}

/// Pre-activation of unit `u`.
fn pre_activation(parameters: &[f64], width: usize, u: usize, input: &[f64]) -> f64 {
    let d = input.len();
    let product: f64 = (0..d).map(|p| parameters[width + u * d + p] * input[p]).sum();
    product + parameters[width + width * d + u]
}

/// The prediction as a function of the parameters.
pub fn predict(parameters: &[f64], width: usize, input: &[f64]) -> f64 {
    (0..width).map(|u| parameters[u] * pre_activation(parameters, width, u, input).max(0.0)).sum()
}

/// The mean loss as a function of the parameters.
pub fn mean_loss(parameters: &[f64], width: usize, data: &Dataset, loss: SquaredLoss) -> f64 {
    let n = data.num_samples();
    let of_sample = |i: usize| loss.value(predict(parameters, width, data.input(i)) - data.labels()[i]);
    (0..n).map(of_sample).sum::<f64>() / n as f64
}

/// Gradient of the prediction.
pub fn prediction_gradient(network: &TwoLayer, input: &[f64]) -> Vec<f64> {
    let (d, width, w) = (network.num_inputs(), network.width(), network.parameters());
    let mut gradient = vec![0.0; w.len()];
    for u in 0..width {
        let z = pre_activation(w, width, u, input);
        if z > 0.0 {
            gradient[u] = z;
            for p in 0..d {
                gradient[width + u * d + p] = w[u] * input[p];
            }
            gradient[width + width * d + u] = w[u];
        }
    }
    gradient
}

/// Hessian of the prediction.
pub fn prediction_hessian(network: &TwoLayer, input: &[f64]) -> Mat<f64> {
    let (d, width, w) = (network.num_inputs(), network.width(), network.parameters());
    let mut hessian = Mat::zeros(w.len(), w.len());
    for u in 0..width {
        if pre_activation(w, width, u, input) > 0.0 {
            let mut set = |index: usize, value: f64| {
                hessian[(u, index)] = value;
                hessian[(index, u)] = value;
            };
            for (p, x) in input.iter().enumerate() {
                set(width + u * d + p, *x);
            }
            set(width + width * d + u, 1.0);
        }
    }
    hessian
}

/// The full Hessian of one sample's loss, `2s (g g^T + e F)`.
pub fn sample_hessian(network: &TwoLayer, data: &Dataset, sample: usize, loss: SquaredLoss) -> Mat<f64> {
    let input = data.input(sample);
    let gradient = prediction_gradient(network, input);
    let second = prediction_hessian(network, input);
    let residual = predict(network.parameters(), network.width(), input) - data.labels()[sample];
    let size = gradient.len();
    Mat::from_fn(size, size, |p, q| {
        loss.curvature_factor() * (gradient[p] * gradient[q] + residual * second[(p, q)])
    })
}

/// Central differences of a function of many variables.
pub fn finite_difference_gradient(function: impl Fn(&[f64]) -> f64, at: &[f64], step: f64) -> Vec<f64> {
    let shifted = |p: usize, by: f64| {
        let mut point = at.to_vec();
        point[p] += by;
        function(&point)
    };
    (0..at.len()).map(|p| (shifted(p, step) - shifted(p, -step)) / (2.0 * step)).collect()
}

/// Smallest magnitude of a pre-activation that is not exactly 0: finite differences are valid well within it.
pub fn distance_to_kink(network: &TwoLayer, data: &Dataset) -> f64 {
    let (width, w) = (network.width(), network.parameters());
    let all = (0..data.num_samples())
        .flat_map(|i| (0..width).map(move |u| pre_activation(w, width, u, data.input(i)).abs()));
    all.filter(|z| *z > 0.0).fold(f64::INFINITY, f64::min)
}

/// The contrastive loss of features, a vector a sample, from its definition over ordered pairs.
pub fn contrastive_loss(features: &[Vec<f64>], labels: &[f64]) -> f64 {
    let normalise = |a: &Vec<f64>| {
        let norm = a.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        a.iter().map(|x| x / norm).collect::<Vec<f64>>()
    };
    let directions: Vec<Vec<f64>> = features.iter().map(normalise).collect();
    let (mut same, mut different) = (vec![], vec![]);
    for i in 0..labels.len() {
        for j in (0..labels.len()).filter(|&j| j != i) {
            let squares = directions[i].iter().zip(&directions[j]).map(|(p, q)| (p - q).powi(2));
            let distance = squares.sum::<f64>().sqrt();
            let equal = labels[i].to_bits() == labels[j].to_bits();
            let (costs, cost) = if equal { (&mut same, distance) } else { (&mut different, 1.0 - distance) };
            if cost > 1e-14 {
                costs.push(cost);
            }
        }
    }
    let mean = |costs: &[f64]| costs.iter().sum::<f64>() / costs.len().max(1) as f64;
    mean(&same) + mean(&different)
}

/// The contrastive loss of a batch as a function of the parameters.
pub fn contrastive_loss_of_batch(parameters: &[f64], width: usize, data: &Dataset, batch: &[usize]) -> f64 {
    let of_sample = |&i: &usize| {
        (0..width).map(|u| pre_activation(parameters, width, u, data.input(i)).max(0.0)).collect()
    };
    let features: Vec<Vec<f64>> = batch.iter().map(of_sample).collect();
    let labels: Vec<f64> = batch.iter().map(|&i| data.labels()[i]).collect();
    contrastive_loss(&features, &labels)
}

/// The network after a whole training, written from the definitions with a fresh vector for everything; the contrastive
/// gradient by central differences.
///
/// # Panics
/// If a parameter ceases to be finite.
pub fn train(training: &Training, data: &Dataset, network: &TwoLayer, rng: &mut Pcg64) -> TwoLayer {
    let (d, width) = (network.num_inputs(), network.width());
    let mut w = network.parameters().to_vec();
    let mut memory = vec![0.0; w.len()];
    let mut order: Vec<usize> = (0..data.num_samples()).collect();
    for _ in 0..training.num_epochs {
        let num_batches = match training.batch_order {
            BatchOrder::Shuffled => order.len().div_ceil(training.batch_size),
            BatchOrder::Independent { steps_per_epoch } => steps_per_epoch,
        };
        let shuffled = training.batch_order == BatchOrder::Shuffled;
        if shuffled {
            draws::shuffle(rng, &mut order);
        }
        for batch in 0..num_batches {
            let batch = if shuffled {
                order.chunks(training.batch_size).nth(batch).expect("as many batches as chunks").to_vec()
            } else {
                draws::choose(rng, &mut order, training.batch_size);
                order[..training.batch_size].to_vec()
            };
            let batch = &batch[..];
            let mut labels: Vec<f64> = batch.iter().map(|&i| data.labels()[i]).collect();
            let gradient = |w: &[f64], batch: &[usize], labels: &[f64]| {
                let network = TwoLayer::new(d, width, w.to_vec()).expect("finite parameters");
                mean_gradient(&network, data, batch, labels, training.loss)
            };
            let point = match training.rule {
                TrainingRule::Sgd => w.clone(),
                TrainingRule::Sam { rho } => {
                    let ascent = gradient(&w, batch, &labels);
                    let norm = ascent.iter().map(|g| g * g).sum::<f64>().sqrt();
                    if norm > 0.0 { plus(&w, rho / norm, &ascent) } else { w.clone() }
                }
                TrainingRule::UnnormalisedSam { rho } => plus(&w, rho, &gradient(&w, batch, &labels)),
                TrainingRule::FullBatchSam { rho_over_alpha } => {
                    let all: Vec<usize> = (0..data.num_samples()).collect();
                    plus(&w, rho_over_alpha, &gradient(&w, &all, data.labels()))
                }
                TrainingRule::RandomPerturbation { standard_deviation } => {
                    let noise: Vec<f64> = w.iter().map(|_| rng.sample(StandardNormal)).collect();
                    plus(&w, standard_deviation, &noise)
                }
                TrainingRule::LabelNoise { standard_deviation } => {
                    let noise: Vec<f64> = labels.iter().map(|_| rng.sample(StandardNormal)).collect();
                    labels = plus(&labels, standard_deviation, &noise);
                    w.clone()
                }
            };
            let mut descent = gradient(&point, batch, &labels);
            if training.contrastive_weight > 0.0 {
                let of_batch = |w: &[f64]| contrastive_loss_of_batch(w, width, data, batch);
                let contrastive = finite_difference_gradient(of_batch, &w, 1e-6);
                descent = plus(&descent, training.contrastive_weight, &contrastive);
            }
            // The recursion as its definition has it, one line a line.
            let (eta, r) = (training.learning_rate, training.recursion);
            descent = plus(&descent, r.coupled_decay, &w);
            memory = plus(&plus(&vec![0.0; w.len()], r.memory, &memory), eta * r.input, &descent);
            let shrunk = plus(&w, -eta * r.decoupled_decay, &w);
            w = plus(&plus(&shrunk, -eta * r.direct, &descent), -r.output, &memory);
        }
    }
    TwoLayer::new(d, width, w).expect("finite parameters")
}

/// `x + factor * y`.
fn plus(x: &[f64], factor: f64, y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + factor * y).collect()
}

/// Gradient of the mean loss of a batch.
fn mean_gradient(
    network: &TwoLayer,
    data: &Dataset,
    batch: &[usize],
    labels: &[f64],
    loss: SquaredLoss,
) -> Vec<f64> {
    let mut sum = vec![0.0; network.parameters().len()];
    for (&i, label) in batch.iter().zip(labels) {
        let residual = network.predict(data.input(i)) - label;
        let factor = loss.curvature_factor() * residual / batch.len() as f64;
        sum = plus(&sum, factor, &prediction_gradient(network, data.input(i)));
    }
    sum
}
