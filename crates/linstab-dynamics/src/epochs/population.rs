//! A population of states whose mean value grows as the mean square does.
//!
//! The mean square of single runs is made by rare runs, which a population keeps. Its states make their own steps; a state's weight is its
//! value ([`Guide`]), so weights grow apart. Whenever the effective number of states, `(sum v)^2 / sum v^2`, falls below half of them, states are
//! drawn by their weights, and go on from there with equal ones: what weighs much is continued many times, each time with other batches, and what
//! weighs little is dropped. The product of the mean weights is an unbiased estimate of the growth of the mean value, whatever
//! the values are and whenever states are drawn (del Moral 2004, chapter 9). An epoch in progress is part of a state: copies share the samples that have had
//! their turn, and draw the others for themselves.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::Epochs;
use super::guide::Guide;
use super::scores::Scores;
use crate::Result;
use crate::simulation::stepper::Stepper;

/// Share of the states below which the effective number calls for drawing.
const FEWEST: f64 = 0.5;

#[derive(Clone, Debug)]
struct Particle {
    /// Iterate, then memory.
    state: Vec<f64>,
    /// All samples: first those of this epoch that have had their turn.
    order: Vec<usize>,
    value: f64,
    /// Scores of the samples that have had their turn.
    score: f64,
}

impl Particle {
    /// The value, less what the samples of this epoch had to do with it.
    fn weight(&self) -> f64 {
        self.value * (-self.score).exp()
    }

    /// Copies another, at weight 1.
    fn copy(&mut self, other: &Self) {
        let weight = other.weight();
        let scale = weight.sqrt().recip();
        for (entry, x) in self.state.iter_mut().zip(&other.state) {
            *entry = scale * x;
        }
        self.order.copy_from_slice(&other.order);
        (self.value, self.score) = (other.value / weight, other.score);
    }
}

/// States at one learning rate after another.
#[derive(Clone, Debug)]
pub(super) struct Population<R> {
    particles: Vec<Particle>,
    /// Room for those that are drawn.
    drawn: Vec<Particle>,
    scores: Scores,
    rng: R,
}

/// Steps at one learning rate, and values there.
struct Walk<'a> {
    epochs: &'a Epochs,
    stepper: Stepper,
    guide: Guide,
}

impl<R: Rng> Population<R> {
    pub(super) fn new(epochs: &Epochs, size: usize, mut rng: R) -> Self {
        let (rank, n) = (epochs.effective.rank(), epochs.sampling.num_samples());
        let particle =
            Particle { state: vec![0.0; 2 * rank], order: (0..n).collect(), value: 0.0, score: 0.0 };
        let mut particles = vec![particle; size];
        start(&mut particles, rank, &mut rng);
        Self { drawn: particles.clone(), particles, scores: Scores::new(epochs), rng }
    }

    /// Twice as many states, two of each.
    pub(super) fn double(&mut self) {
        self.particles.extend(self.particles.clone());
        self.drawn = self.particles.clone();
    }

    /// The mean growth over epochs, an epoch, as a logarithm: infinite where states overflow, or vanish.
    pub(super) fn advance(&mut self, epochs: &Epochs, learning_rate: f64, num_epochs: usize) -> Result<f64> {
        let (stepper, guide) = (epochs.stepper(learning_rate)?, Guide::new(epochs, learning_rate));
        let mut walk = Walk { epochs, stepper, guide };
        self.normalise(&walk.guide);
        let mut sum = 0.0;
        for _ in 0..num_epochs {
            epochs.interrupt.check()?;
            sum += self.epoch(&mut walk);
            if !sum.is_finite() {
                start(&mut self.particles, epochs.effective.rank(), &mut self.rng);
                return Ok(if sum < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY });
            }
        }
        Ok(sum / num_epochs as f64)
    }

    /// The logarithm of the growth of the mean value over an epoch; afterwards it is 1.
    fn epoch(&mut self, walk: &mut Walk<'_>) -> f64 {
        self.scores.renew();
        self.particles.iter_mut().for_each(|particle| particle.score = 0.0);
        let (mut used, mut growth) = (0, 0.0);
        for size in walk.epochs.sampling.batch_sizes() {
            self.step(walk, (used, size));
            used += size;
            let sums = self.particles.iter().map(Particle::weight);
            let (sum, squares) = sums.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
            if sum * sum < FEWEST * squares * self.particles.len() as f64 {
                growth += self.draw(sum);
            }
        }
        growth + self.normalise(&walk.guide)
    }

    /// One step of each state on a batch of its own.
    fn step(&mut self, walk: &mut Walk<'_>, turn: (usize, usize)) {
        let rank = walk.epochs.effective.rank();
        for particle in &mut self.particles {
            let batch = walk.epochs.draw_batch(&mut particle.order, turn, &mut self.rng);
            walk.stepper.step(particle.state.split_at_mut(rank), batch, batch.len(), |_| ());
            let before = std::mem::replace(&mut particle.value, walk.guide.value(&particle.state));
            particle.score += self.scores.of(batch);
            self.scores.learn(batch, particle.value / before);
        }
    }

    /// Draws states by their weights, of this sum, with one random number for all; the logarithm of the mean weight.
    fn draw(&mut self, sum: f64) -> f64 {
        let mean = sum / self.particles.len() as f64;
        let (mut reached, mut next) = (0.0, self.rng.random::<f64>());
        let mut places = self.drawn.iter_mut();
        let mut heaviest = 0;
        for (index, particle) in self.particles.iter().enumerate() {
            reached += particle.weight() / mean;
            while next < reached
                && let Some(place) = places.next()
            {
                place.copy(particle);
                next += 1.0;
            }
            if particle.weight() > self.particles[heaviest].weight() {
                heaviest = index;
            }
        }
        // A place that rounding has left.
        places.for_each(|place| place.copy(&self.particles[heaviest]));
        std::mem::swap(&mut self.particles, &mut self.drawn);
        mean.ln()
    }

    /// Takes values anew and makes their mean 1; the logarithm of what it was.
    fn normalise(&mut self, guide: &Guide) -> f64 {
        for particle in &mut self.particles {
            particle.value = guide.value(&particle.state);
        }
        let mean = self.particles.iter().map(|p| p.value).sum::<f64>() / self.particles.len() as f64;
        let scale = mean.sqrt().recip();
        for particle in &mut self.particles {
            particle.value /= mean;
            particle.state.iter_mut().for_each(|x| *x *= scale);
        }
        mean.ln()
    }
}

/// Iterates of independent normal entries, at rest.
fn start<R: Rng>(particles: &mut [Particle], rank: usize, rng: &mut R) {
    for particle in particles {
        particle.state.fill(0.0);
        particle.state.iter_mut().take(rank).for_each(|x| *x = StandardNormal.sample(rng));
    }
}
