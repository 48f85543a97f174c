//! The network `f(x) = W2 . relu(W1 x + b1)`: scalar output, no output bias.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::error::{require_nonnegative, require_positive_size, require_size};
use crate::layout::Layout;
use crate::{Dataset, ReluError, Result, draws};

/// A two-layer ReLU network with finite parameters.
///
/// Parameters are ordered (W2, W1, b1): `width` output weights, the hidden weights row by row (width, num_inputs), `width`
/// hidden biases; `width (num_inputs + 2)` in all. A pre-activation of exactly 0 counts as silent.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoLayer {
    num_inputs: usize,
    width: usize,
    parameters: Vec<f64>,
}

impl TwoLayer {
    /// A network from its parameters in the order (W2, W1, b1).
    ///
    /// # Errors
    /// [`ReluError::OutOfRange`] for a size of 0, [`ReluError::SizeMismatch`] unless there are `width (num_inputs + 2)`
    /// parameters, [`ReluError::NonFiniteParameter`].
    /// # Examples
    /// ```
    /// use linstab_relu::TwoLayer;
    /// // f(x) = 2 relu(3 x_1 - x_2 + 1)
    /// let network = TwoLayer::new(2, 1, vec![2.0, 3.0, -1.0, 1.0])?;
    /// assert_eq!(network.predict(&[1.0, 2.0]), 4.0);
    /// assert_eq!(network.predict(&[-1.0, 0.0]), 0.0);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn new(num_inputs: usize, width: usize, parameters: Vec<f64>) -> Result<Self> {
        require_size("number of parameters", num_parameters(num_inputs, width)?, parameters.len())?;
        if let Some(index) = parameters.iter().position(|w| !w.is_finite()) {
            return Err(ReluError::NonFiniteParameter { index });
        }
        Ok(Self { num_inputs, width, parameters })
    }

    /// A network from its output weights, hidden weights (row-major, a row a unit) and hidden biases.
    ///
    /// # Errors
    /// As [`TwoLayer::new`].
    /// # Examples
    /// ```
    /// use linstab_relu::TwoLayer;
    /// let network = TwoLayer::from_parts(2, &[2.0], &[3.0, -1.0], &[1.0])?;
    /// assert_eq!(network.parameters(), &[2.0, 3.0, -1.0, 1.0]);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn from_parts(
        num_inputs: usize,
        output_weights: &[f64],
        hidden_weights: &[f64],
        hidden_biases: &[f64],
    ) -> Result<Self> {
        let width = output_weights.len();
        let expected = width.saturating_mul(num_inputs);
        require_size("number of hidden weights", expected, hidden_weights.len())?;
        require_size("number of hidden biases", width, hidden_biases.len())?;
        Self::new(num_inputs, width, [output_weights, hidden_weights, hidden_biases].concat())
    }

    /// Independent parameters, uniform between +-1/sqrt(fan_in): fan_in is `num_inputs` for the hidden weights and biases
    /// and `width` for the output weights. It is the default of deep-learning frameworks' linear layers.
    ///
    /// # Determinism
    /// One word of `rng` a parameter, in their order.
    /// # Errors
    /// [`ReluError::OutOfRange`] for a size of 0.
    /// # Examples
    /// ```
    /// use linstab_relu::TwoLayer;
    /// use rand_pcg::{Pcg64, rand_core::SeedableRng};
    /// let network = TwoLayer::uniform(4, 100, &mut Pcg64::seed_from_u64(1))?;
    /// assert!(network.output_weights().iter().all(|w| w.abs() <= 0.1));
    /// assert!(network.hidden_weights().iter().chain(network.hidden_biases()).all(|w| w.abs() <= 0.5));
    /// assert!(network.hidden_weights().iter().any(|w| w.abs() > 0.4));
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn uniform<R: Rng + ?Sized>(num_inputs: usize, width: usize, rng: &mut R) -> Result<Self> {
        Self::random(num_inputs, width, |fan_in| (2.0 * draws::unit(rng) - 1.0) / (fan_in as f64).sqrt())
    }

    /// Independent Gaussian parameters of standard deviation `gain / sqrt(fan_in)`, with the fan_in of
    /// [`TwoLayer::uniform`].
    ///
    /// # Determinism
    /// One standard normal number of `rng` a parameter, in their order.
    /// # Errors
    /// [`ReluError::OutOfRange`] for a size of 0, or a gain that is negative or not finite.
    /// # Examples
    /// ```
    /// use linstab_relu::TwoLayer;
    /// use rand_pcg::{Pcg64, rand_core::SeedableRng};
    /// let network = TwoLayer::gaussian(100, 50, 2.0, &mut Pcg64::seed_from_u64(1))?;
    /// let variance = network.hidden_weights().iter().map(|w| w * w).sum::<f64>() / 5000.0;
    /// assert!((variance - 0.04).abs() < 0.005, "(2 / sqrt(100))^2");
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn gaussian<R: Rng + ?Sized>(
        num_inputs: usize,
        width: usize,
        gain: f64,
        rng: &mut R,
    ) -> Result<Self> {
        require_nonnegative("gain", gain, false)?;
        Self::random(num_inputs, width, |fan_in| {
            gain / (fan_in as f64).sqrt() * rng.sample::<f64, _>(StandardNormal)
        })
    }

    fn random(num_inputs: usize, width: usize, mut draw: impl FnMut(usize) -> f64) -> Result<Self> {
        let num_parameters = num_parameters(num_inputs, width)?;
        let fan_in = |index: usize| if index < width { width } else { num_inputs };
        Self::new(num_inputs, width, (0..num_parameters).map(|index| draw(fan_in(index))).collect())
    }

    /// The network with an independent `N(0, standard_deviation^2)` added to every parameter, in their order.
    ///
    /// # Errors
    /// [`ReluError::OutOfRange`] for a standard deviation that is negative or not finite, [`ReluError::NonFiniteParameter`]
    /// if a sum overflows.
    /// # Examples
    /// ```
    /// use linstab_relu::TwoLayer;
    /// use rand_pcg::{Pcg64, rand_core::SeedableRng};
    /// let network = TwoLayer::new(1, 1, vec![1.0, 2.0, 3.0])?;
    /// assert_eq!(network.perturbed(0.0, &mut Pcg64::seed_from_u64(1))?, network);
    /// assert_ne!(network.perturbed(0.1, &mut Pcg64::seed_from_u64(1))?, network);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn perturbed<R: Rng + ?Sized>(&self, standard_deviation: f64, rng: &mut R) -> Result<Self> {
        require_nonnegative("standard_deviation of a perturbation", standard_deviation, false)?;
        let perturb = |w: &f64| w + standard_deviation * rng.sample::<f64, _>(StandardNormal);
        Self::new(self.num_inputs, self.width, self.parameters.iter().map(perturb).collect())
    }

    /// Number of inputs, `d`; at least 1.
    pub fn num_inputs(&self) -> usize {
        self.num_inputs
    }

    /// Number of hidden units; at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All parameters in the order (W2, W1, b1).
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The parameters, for code that keeps them finite.
    pub(crate) fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.parameters
    }

    /// The output weights, W2.
    pub fn output_weights(&self) -> &[f64] {
        &self.parameters[..self.width]
    }

    /// The hidden weights, W1, row-major (width, num_inputs).
    pub fn hidden_weights(&self) -> &[f64] {
        &self.parameters[self.width..self.width * (self.num_inputs + 1)]
    }

    /// The hidden biases, b1.
    pub fn hidden_biases(&self) -> &[f64] {
        &self.parameters[self.width * (self.num_inputs + 1)..]
    }

    /// The prediction for one input.
    ///
    /// # Panics
    /// Unless `input` has `num_inputs()` entries.
    #[track_caller]
    pub fn predict(&self, input: &[f64]) -> f64 {
        assert!(input.len() == self.num_inputs, "{} inputs for {}", input.len(), self.num_inputs);
        self.units(input).map(|(weight, pre_activation)| weight * pre_activation.max(0.0)).sum()
    }

    /// Output weight and pre-activation of each unit.
    fn units<'a>(&'a self, input: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
        let rows = self.hidden_weights().chunks_exact(self.num_inputs);
        let hidden = rows.zip(self.hidden_biases()).map(move |(row, bias)| {
            let product: f64 = row.iter().zip(input).map(|(w, x)| w * x).sum();
            product + bias
        });
        self.output_weights().iter().copied().zip(hidden)
    }

    /// Hidden pre-activations `W1 x + b1` of all samples.
    ///
    /// # Shapes
    /// Row-major (num_samples, width).
    /// # Errors
    /// [`ReluError::SizeMismatch`] if network and data differ in `num_inputs`, [`ReluError::Overflow`].
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, TwoLayer};
    /// let network = TwoLayer::from_parts(1, &[1.0, 1.0], &[1.0, -1.0], &[0.5, 0.0])?;
    /// let data = Dataset::new(1, vec![1.0, 2.0], vec![0.0, 0.0])?;
    /// assert_eq!(network.pre_activations(&data)?, vec![1.5, -1.0, 2.5, -2.0]);
    /// assert_eq!(network.features(&data)?, vec![1.5, 0.0, 2.5, 0.0]);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn pre_activations(&self, data: &Dataset) -> Result<Vec<f64>> {
        self.require_fit(data)?;
        let samples = 0..data.num_samples();
        let of_sample = |i| self.units(data.input(i)).map(|(_, pre_activation)| pre_activation);
        finite(samples.flat_map(of_sample).collect(), self.width)
    }

    /// Hidden features `relu(W1 x + b1)` of all samples.
    ///
    /// # Shapes
    /// Row-major (num_samples, width).
    /// # Errors
    /// [`ReluError::SizeMismatch`] if network and data differ in `num_inputs`, [`ReluError::Overflow`].
    pub fn features(&self, data: &Dataset) -> Result<Vec<f64>> {
        finite(self.forward(data)?.1, self.width)
    }

    /// Predictions for all samples.
    ///
    /// # Errors
    /// [`ReluError::SizeMismatch`] if network and data differ in `num_inputs`, [`ReluError::Overflow`] if a prediction is
    /// not finite.
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, TwoLayer};
    /// let network = TwoLayer::from_parts(1, &[2.0, 1.0], &[1.0, -1.0], &[0.5, 0.0])?;
    /// let data = Dataset::new(1, vec![1.0, -2.0], vec![0.0, 0.0])?;
    /// assert_eq!(network.predictions(&data)?, vec![3.0, 2.0]);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn predictions(&self, data: &Dataset) -> Result<Vec<f64>> {
        finite(self.forward(data)?.0, 1)
    }

    /// Predictions, which can overflow, and features.
    pub(crate) fn forward(&self, data: &Dataset) -> Result<(Vec<f64>, Vec<f64>)> {
        self.require_fit(data)?;
        let (layout, packed) = (Layout::of(self), Layout::packed(self));
        let mut features = vec![0.0; data.num_samples() * self.width];
        let mut predictions = vec![0.0; data.num_samples()];
        layout.forward(&packed, |i| data.extended(i), &mut features, &mut predictions);
        Ok((predictions, features))
    }

    fn require_fit(&self, data: &Dataset) -> Result<()> {
        require_size("num_inputs of the data", self.num_inputs, data.num_inputs())
    }
}

/// The values, `per_sample` for each sample, unless one is not finite.
fn finite(values: Vec<f64>, per_sample: usize) -> Result<Vec<f64>> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => Err(ReluError::Overflow { sample: at / per_sample }),
    }
}

/// `width (num_inputs + 2)`, if both are positive.
fn num_parameters(num_inputs: usize, width: usize) -> Result<usize> {
    require_positive_size("num_inputs", num_inputs)?;
    require_positive_size("width", width)?;
    let product = num_inputs.checked_add(2).and_then(|per_unit| per_unit.checked_mul(width));
    let (name, allowed) = ("width", "few enough units for an address each");
    product.ok_or(ReluError::OutOfRange { name, value: width as f64, allowed })
}
