//! The training loop: flat buffers, made once.

use std::ops::ControlFlow;

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::contrastive::Contrastive;
use super::{BatchOrder, Outcome, Progress, Training, TrainingRule};
use crate::error::{require_nonnegative, require_positive_size, require_size};
use crate::layout::{Layout, add_combination};
use crate::{Dataset, Result, SquaredLoss, TwoLayer, draws};

/// Trains networks of one width on one data set; made once, it can make any number of runs.
///
/// # Cost
/// A step of a batch of `B` takes about `2 B width (d + 1)` multiplications, twice that with SAM, and no allocation.
#[derive(Clone, Debug)]
pub struct Trainer<'a> {
    training: Training,
    data: &'a Dataset,
    layout: Layout,
    /// All vectors over the parameters are in the padded layout.
    weights: Vec<f64>,
    /// The point at which the gradient is taken, where it is not the weights.
    point: Vec<f64>,
    gradient: Vec<f64>,
    memory: Vec<f64>,
    /// What gradients are multiplied by, if by anything.
    scales: Option<Vec<f64>>,
    order: Vec<usize>,
    /// Labels of the batch, with their noise.
    labels: Vec<f64>,
    /// Row-major (batch, width).
    features: Vec<f64>,
    /// Predictions, then what their gradients are multiplied by.
    factors: Vec<f64>,
    contrastive: Option<ContrastiveTerm>,
}

#[derive(Clone, Debug)]
struct ContrastiveTerm {
    loss: Contrastive,
    labels: Vec<f64>,
}

impl<'a> Trainer<'a> {
    /// A trainer for networks with `width` hidden units.
    ///
    /// # Errors
    /// Those of [`Training::checked`]; [`crate::ReluError::OutOfRange`] for a width of 0.
    pub fn new(training: Training, data: &'a Dataset, width: usize) -> Result<Self> {
        let training = training.checked(data)?;
        require_positive_size("width", width)?;
        let layout = Layout::new(data.num_inputs(), width);
        let (zeros, batch_size) = (vec![0.0; layout.len()], training.batch_size);
        let full_batches = matches!(training.rule, TrainingRule::FullBatchSam { .. });
        let largest_pass = if full_batches { data.num_samples() } else { batch_size };
        let contrastive = (training.contrastive_weight > 0.0).then(|| ContrastiveTerm {
            loss: Contrastive::new(batch_size, width),
            labels: vec![0.0; batch_size],
        });
        Ok(Self {
            training,
            data,
            layout,
            weights: zeros.clone(),
            point: zeros.clone(),
            gradient: zeros.clone(),
            memory: zeros,
            scales: None,
            order: (0..data.num_samples()).collect(),
            labels: vec![0.0; batch_size],
            features: vec![0.0; largest_pass * width],
            factors: vec![0.0; largest_pass],
            contrastive,
        })
    }

    /// The same trainer, for an optimizer that divides gradients by a fixed preconditioner (Adam with its second moment frozen).
    ///
    /// # Errors
    /// [`crate::ReluError::SizeMismatch`] unless it has one number a parameter, in the order of [`TwoLayer::parameters`];
    /// [`crate::ReluError::OutOfRange`] unless all are positive and finite.
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, SquaredLoss, Trainer, Training, TrainingRule, TwoLayer, training};
    /// use rand_pcg::{Pcg64, rand_core::SeedableRng};
    /// // g = (4; 2, 2) as below; the first entry is halved.
    /// let mut network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let training = Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.125, 1, 1);
    /// let mut trainer = Trainer::new(training, &data, 1)?.preconditioned(&[2.0, 1.0, 1.0])?;
    /// trainer.run(&mut network, &mut Pcg64::seed_from_u64(1), training::unobserved)?;
    /// assert_eq!(network.parameters(), &[1.75, 2.75, 0.75]);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn preconditioned(mut self, preconditioner: &[f64]) -> Result<Self> {
        require_size(
            "preconditioner",
            self.layout.width * (self.layout.num_inputs + 2),
            preconditioner.len(),
        )?;
        for &entry in preconditioner {
            require_nonnegative("an entry of the preconditioner", entry, true)?;
        }
        let inverse: Vec<f64> = preconditioner.iter().map(|entry| entry.recip()).collect();
        let mut scales = vec![0.0; self.layout.len()];
        self.layout.pack(&inverse, &mut scales);
        self.scales = Some(scales);
        Ok(self)
    }

    /// Trains `network`; the observer sees it before the first epoch and after each, and can break off.
    ///
    /// After a divergence the network is that of the last epoch that ended with finite parameters.
    ///
    /// # Determinism
    /// The result depends on nothing but these arguments, the training and the data. `rng` yields, epoch by epoch, one word
    /// a sample but the first for the order, then the noise of the rule step by step; for independent batches, step by step,
    /// one word a sample of the batch, then the noise.
    /// # Errors
    /// [`crate::ReluError::SizeMismatch`] for a network of another size.
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, Outcome, SquaredLoss, Trainer, Training, TwoLayer, TrainingRule, training};
    /// use rand_pcg::{Pcg64, rand_core::SeedableRng};
    /// // f = 2 relu(3 x + 1), one sample x = 1, y = 7: e = 1 and g = (4; 2, 2).
    /// let mut network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let training = Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.125, 1, 1);
    /// let mut trainer = Trainer::new(training, &data, 1)?;
    /// let outcome = trainer.run(&mut network, &mut Pcg64::seed_from_u64(1), training::unobserved)?;
    /// assert_eq!(outcome, Outcome::Completed);
    /// assert_eq!(network.parameters(), &[1.5, 2.75, 0.75]);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn run<R: Rng + ?Sized>(
        &mut self,
        network: &mut TwoLayer,
        rng: &mut R,
        mut observer: impl FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        require_size("num_inputs of the network", self.layout.num_inputs, network.num_inputs())?;
        require_size("width of the network", self.layout.width, network.width())?;
        self.layout.pack(network.parameters(), &mut self.weights);
        self.memory.fill(0.0);
        for (index, sample) in self.order.iter_mut().enumerate() {
            *sample = index;
        }
        if observer(Progress { epoch: 0, network, mean_batch_loss: None }).is_break() {
            return Ok(Outcome::Stopped { epoch: 0 });
        }
        for epoch in 1..=self.training.num_epochs {
            let mean_batch_loss = match self.epoch(rng) {
                Ok(mean_batch_loss) => mean_batch_loss,
                Err(Diverged { loss }) => return Ok(Outcome::Diverged { epoch, loss }),
            };
            if !self.weights.iter().all(|w| w.is_finite()) {
                return Ok(Outcome::Diverged { epoch, loss: mean_batch_loss });
            }
            self.layout.unpack(&self.weights, network.parameters_mut());
            let progress = Progress { epoch, network, mean_batch_loss: Some(mean_batch_loss) };
            if observer(progress).is_break() {
                return Ok(Outcome::Stopped { epoch });
            }
        }
        Ok(Outcome::Completed)
    }

    /// One epoch; the mean of the batch losses.
    fn epoch<R: Rng + ?Sized>(&mut self, rng: &mut R) -> std::result::Result<f64, Diverged> {
        // Taken out, so that the batches can be borrowed while the buffers change.
        let mut order = std::mem::take(&mut self.order);
        let batch_size = self.training.batch_size;
        let num_batches = match self.training.batch_order {
            BatchOrder::Shuffled => {
                draws::shuffle(rng, &mut order);
                order.len().div_ceil(batch_size)
            }
            BatchOrder::Independent { steps_per_epoch } => steps_per_epoch,
        };
        let (mut sum, mut diverged) = (0.0, None);
        for index in 0..num_batches {
            let start = match self.training.batch_order {
                BatchOrder::Shuffled => index * batch_size,
                BatchOrder::Independent { .. } => {
                    draws::choose(rng, &mut order, batch_size);
                    0
                }
            };
            let batch = &order[start..(start + batch_size).min(order.len())];
            let loss = self.step(batch, rng);
            if !(loss.is_finite() && loss <= self.training.divergence_loss) {
                diverged = Some(Diverged { loss });
                break;
            }
            sum += loss;
        }
        self.order = order;
        diverged.map_or(Ok(sum / num_batches as f64), Err)
    }

    /// One step; the loss at the point where its gradient was taken.
    fn step<R: Rng + ?Sized>(&mut self, batch: &[usize], rng: &mut R) -> f64 {
        self.fetch_labels(batch);
        let loss = match self.training.rule {
            TrainingRule::Sgd => self.gradient_at_weights(batch),
            TrainingRule::Sam { rho } => {
                self.gradient_at_weights(batch);
                let norm = self.gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                self.ascend(if norm > 0.0 { rho / norm } else { 0.0 });
                self.gradient_at_point(batch)
            }
            TrainingRule::UnnormalisedSam { rho } => {
                self.gradient_at_weights(batch);
                self.ascend(rho);
                self.gradient_at_point(batch)
            }
            TrainingRule::FullBatchSam { rho_over_alpha } => {
                self.full_gradient();
                self.ascend(rho_over_alpha);
                self.gradient_at_point(batch)
            }
            TrainingRule::RandomPerturbation { standard_deviation } => {
                self.perturb(standard_deviation, rng);
                self.gradient_at_point(batch)
            }
            TrainingRule::LabelNoise { standard_deviation } => {
                for label in &mut self.labels[..batch.len()] {
                    *label += standard_deviation * rng.sample::<f64, _>(StandardNormal);
                }
                self.gradient_at_weights(batch)
            }
        };
        self.add_contrastive_gradient(batch);
        self.descend();
        loss
    }

    /// The step of the recursion with the gradient.
    fn descend(&mut self) {
        if let Some(scales) = &self.scales {
            self.gradient.iter_mut().zip(scales).for_each(|(g, scale)| *g *= scale);
        }
        let Training { learning_rate, recursion: r, .. } = self.training;
        let (input, direct) = (learning_rate * r.input, learning_rate * r.direct);
        let kept = 1.0 - learning_rate * r.decoupled_decay;
        for ((w, u), g) in self.weights.iter_mut().zip(&mut self.memory).zip(&self.gradient) {
            let gradient = g + r.coupled_decay * *w;
            *u = r.memory * *u + input * gradient;
            *w = kept * *w - direct * gradient - r.output * *u;
        }
    }

    fn fetch_labels(&mut self, batch: &[usize]) {
        for (label, &sample) in self.labels.iter_mut().zip(batch) {
            *label = self.data.labels()[sample];
        }
    }

    /// The gradient of the batch at the weights; returns its loss.
    fn gradient_at_weights(&mut self, batch: &[usize]) -> f64 {
        let Self { training, data, layout, weights, gradient, labels, features, factors, .. } = self;
        let mut pass = Pass { layout: *layout, loss: training.loss, features, factors };
        pass.mean_gradient(weights, |i| data.extended(batch[i]), &labels[..batch.len()], gradient)
    }

    /// The gradient of the batch at the point; returns its loss.
    fn gradient_at_point(&mut self, batch: &[usize]) -> f64 {
        let Self { training, data, layout, point, gradient, labels, features, factors, .. } = self;
        let mut pass = Pass { layout: *layout, loss: training.loss, features, factors };
        pass.mean_gradient(point, |i| data.extended(batch[i]), &labels[..batch.len()], gradient)
    }

    /// The gradient of all samples at the weights.
    fn full_gradient(&mut self) {
        let Self { training, data, layout, weights, gradient, features, factors, .. } = self;
        let mut pass = Pass { layout: *layout, loss: training.loss, features, factors };
        pass.mean_gradient(weights, |i| data.extended(i), data.labels(), gradient);
    }

    /// `point = weights + step * gradient`.
    fn ascend(&mut self, step: f64) {
        for ((point, w), g) in self.point.iter_mut().zip(&self.weights).zip(&self.gradient) {
            *point = w + step * g;
        }
    }

    /// `point = weights + standard_deviation * z`, drawn in the order (W2, W1, b1).
    fn perturb<R: Rng + ?Sized>(&mut self, standard_deviation: f64, rng: &mut R) {
        let Layout { num_inputs, stride, .. } = self.layout;
        self.point.copy_from_slice(&self.weights);
        let mut noise = || standard_deviation * rng.sample::<f64, _>(StandardNormal);
        let (rows, output) = self.layout.split_mut(&mut self.point);
        for w in output {
            *w += noise();
        }
        for row in rows.chunks_exact_mut(stride) {
            for w in &mut row[..num_inputs] {
                *w += noise();
            }
        }
        for row in rows.chunks_exact_mut(stride) {
            row[num_inputs] += noise();
        }
    }

    /// Adds the weighted gradient of the contrastive loss at the weights.
    fn add_contrastive_gradient(&mut self, batch: &[usize]) {
        let Some(ContrastiveTerm { loss, labels }) = &mut self.contrastive else { return };
        let Layout { width, stride, .. } = self.layout;
        let (features, predictions) =
            (&mut self.features[..batch.len() * width], &mut self.factors[..batch.len()]);
        self.layout.forward(&self.weights, |i| self.data.extended(batch[i]), features, predictions);
        for (label, &sample) in labels.iter_mut().zip(batch) {
            *label = self.data.labels()[sample];
        }
        loss.evaluate(features, &labels[..batch.len()]);
        let rows = self.layout.split_mut(&mut self.gradient).0;
        for (u, row) in rows.chunks_exact_mut(stride).enumerate() {
            let of_unit = |values: &'_ [f64], i: usize| values[i * width + u];
            let active = (0..batch.len()).filter(|&i| of_unit(features, i) > 0.0);
            let terms = active.map(|i| {
                let factor = self.training.contrastive_weight * of_unit(loss.gradient(), i);
                (factor, self.data.extended(batch[i]))
            });
            add_combination(row, terms);
        }
    }
}

/// The batch loss at which a run was given up.
struct Diverged {
    loss: f64,
}

/// Buffers of a pass over some samples, and how their loss is defined.
struct Pass<'a> {
    layout: Layout,
    loss: SquaredLoss,
    features: &'a mut [f64],
    factors: &'a mut [f64],
}

impl Pass<'_> {
    /// Overwrites `gradient` with the gradient of the mean loss of the samples with these labels; returns that loss.
    #[inline]
    fn mean_gradient<'a>(
        &mut self,
        weights: &[f64],
        extended: impl Fn(usize) -> &'a [f64],
        labels: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let factors = &mut self.factors[..labels.len()];
        self.layout.forward(weights, &extended, self.features, factors);
        let count = labels.len() as f64;
        let (factor, mut sum) = (self.loss.curvature_factor() / count, 0.0);
        for (prediction, label) in factors.iter_mut().zip(labels) {
            let residual = *prediction - label;
            sum += self.loss.value(residual);
            *prediction = factor * residual;
        }
        gradient.fill(0.0);
        self.layout.add_gradients(weights, &extended, self.features, factors, gradient);
        sum / count
    }
}
