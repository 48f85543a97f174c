//! Solutions in closed form, and what to check of any solution.

use crate::error::{require_nonnegative, require_positive_size};
use crate::{Dataset, ReluError, Result, TwoLayer};

/// The (C, r)-generalising solution of `y = x_1 x_2` on +-1 inputs: a unit for each of the `2^C` sign patterns of the first
/// `C = num_features` inputs, the others zero.
///
/// Unit `1 + sum_i a_i 2^(i-1)`, `a` in `{0, 1}^C`, has the hidden weights `r ((-1)^a_1, .., (-1)^a_C, 0, ..)`, the bias
/// `-r (C - 1)` and the output weight `(-1)^(a_1 + a_2) / r`. For an input with that pattern it fires with feature `r`, all
/// other units are silent, so the network interpolates and `|g|^2 = r^2 + (d + 1) / r^2`.
///
/// # Errors
/// [`ReluError::OutOfRange`] for a size of 0, or a scale `r` that is not positive and finite (or whose inverse is not
/// finite); [`ReluError::NumFeaturesOutOfRange`] for `C < 2`, `C > num_inputs` or `2^C > width`.
/// # Examples
/// ```
/// use linstab_relu::solutions;
/// let network = solutions::generalising(5, 10, 3, 1.0)?;
/// assert_eq!(network.hidden_weights()[5..10], [-1.0, 1.0, 1.0, 0.0, 0.0]);
/// assert_eq!(network.output_weights(), [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 0.0, 0.0]);
/// assert_eq!(network.hidden_biases()[..2], [-2.0, -2.0]);
/// assert_eq!(network.predict(&[-1.0, 1.0, -1.0, 1.0, 1.0]), -1.0);
/// # Ok::<(), linstab_relu::ReluError>(())
/// ```
/// # Source
/// arXiv 2511.17378, Definition 2 and appendix C.1, whose equation (8) prints the bias with the wrong sign: with
/// `+r (C - 1)` all but one of the units fire.
pub fn generalising(num_inputs: usize, width: usize, num_features: usize, scale: f64) -> Result<TwoLayer> {
    require_positive_size("num_inputs", num_inputs)?;
    require_positive_size("width", width)?;
    let inverse = inverse_scale(scale)?;
    let num_patterns =
        u32::try_from(num_features).ok().and_then(|c| 1_usize.checked_shl(c)).unwrap_or(usize::MAX);
    if !(2..=num_inputs).contains(&num_features) || num_patterns > width {
        return Err(ReluError::NumFeaturesOutOfRange { num_features, num_inputs, width });
    }
    let sign = |pattern: usize, feature: usize| if pattern >> feature & 1 == 1 { -1.0 } else { 1.0 };
    let (mut output, mut biases) = (vec![0.0; width], vec![0.0; width]);
    let mut hidden = vec![0.0; width * num_inputs];
    for (pattern, row) in hidden.chunks_exact_mut(num_inputs).take(num_patterns).enumerate() {
        for (feature, weight) in row.iter_mut().take(num_features).enumerate() {
            *weight = scale * sign(pattern, feature);
        }
        biases[pattern] = -scale * (num_features - 1) as f64;
        output[pattern] = inverse * sign(pattern, 0) * sign(pattern, 1);
    }
    TwoLayer::from_parts(num_inputs, &output, &hidden, &biases)
}

/// The scale `r = (d + 1)^(1/4)` at which `|g|^2 = r^2 + (d + 1) / r^2` is smallest, `2 sqrt(d + 1)`.
///
/// # Examples
/// ```
/// assert!((linstab_relu::solutions::optimal_scale(15) - 2.0).abs() < 1e-15);
/// ```
/// # Source
/// arXiv 2511.17378, Theorem 3.5.
pub fn optimal_scale(num_inputs: usize) -> f64 {
    (num_inputs as f64 + 1.0).sqrt().sqrt()
}

/// The memorising solution: unit `i` fires for sample `i` alone, with feature `r = scale`, and has output weight `y_i / r`.
///
/// Its hidden weights are `c x_i` and its bias `-c t_i` with `t_i` half-way between `|x_i|^2` and the largest of 0 and
/// `x_i . x_j`, and `c` such that the feature is `r`. Hence `|g_i|^2 = r^2 + y_i^2 (|x_i|^2 + 1) / r^2`, and the gradients of different
/// samples are orthogonal. Units beyond the number of samples are zero.
///
/// # Cost
/// `n^2 d / 2` multiplications.
/// # Errors
/// [`ReluError::WidthTooSmall`] for fewer units than samples; [`ReluError::DuplicateInputs`]; [`ReluError::NotOutermost`]
/// if `x_i = 0` or some `x_i . x_j >= |x_i|^2`, which distinct inputs of equal norm exclude; [`ReluError::OutOfRange`] for a scale that
/// is not positive and finite; [`ReluError::NonFiniteParameter`] if a parameter overflows.
/// # Examples
/// ```
/// use linstab_relu::{Dataset, solutions};
/// let data = Dataset::new(2, vec![1.0, 1.0, -1.0, 1.0], vec![3.0, -1.0])?;
/// let network = solutions::memorising(&data, 2, 1.0)?;
/// assert_eq!(network.hidden_weights(), [1.0, 1.0, -1.0, 1.0]);
/// assert_eq!(network.hidden_biases(), [-1.0, -1.0]); // |x|^2 = 2, x_1 . x_2 = 0
/// assert_eq!(network.predict(&[1.0, 1.0]), 3.0);
/// # Ok::<(), linstab_relu::ReluError>(())
/// ```
pub fn memorising(data: &Dataset, width: usize, scale: f64) -> Result<TwoLayer> {
    let (n, d) = (data.num_samples(), data.num_inputs());
    let inverse = inverse_scale(scale)?;
    if width < n {
        return Err(ReluError::WidthTooSmall { width, num_samples: n });
    }
    require_distinct(data)?;
    let (mut output, mut biases) = (vec![0.0; width], vec![0.0; width]);
    let mut hidden = vec![0.0; width * d];
    for i in 0..n {
        let reach = |j: usize| data.input(i).iter().zip(data.input(j)).map(|(a, b)| a * b).sum::<f64>();
        let own = reach(i);
        let others = (0..n).filter(|&j| j != i).map(|j| (reach(j), j));
        let (next, other) = others.fold((0.0, i), |best, found| if found.0 > best.0 { found } else { best });
        let threshold = 0.5 * (own + next);
        let margin = own - threshold;
        // NaN comes from products that overflow.
        if margin.is_nan() || margin <= f64::EPSILON * own {
            return Err(ReluError::NotOutermost { sample: i, other });
        }
        let slope = scale / margin;
        for (weight, x) in hidden[i * d..(i + 1) * d].iter_mut().zip(data.input(i)) {
            *weight = slope * x;
        }
        biases[i] = -slope * threshold;
        output[i] = inverse * data.labels()[i];
    }
    TwoLayer::from_parts(d, &output, &hidden, &biases)
}

/// Largest `|f(x_i) - y_i|`.
///
/// # Errors
/// As [`TwoLayer::predictions`].
/// # Examples
/// ```
/// use linstab_relu::{Dataset, TwoLayer, solutions};
/// let network = TwoLayer::new(1, 1, vec![2.0, 1.0, 0.0])?;
/// let data = Dataset::new(1, vec![1.0, -1.0], vec![2.0, 0.5])?;
/// assert_eq!(solutions::max_interpolation_error(&network, &data)?, 0.5);
/// # Ok::<(), linstab_relu::ReluError>(())
/// ```
pub fn max_interpolation_error(network: &TwoLayer, data: &Dataset) -> Result<f64> {
    let predictions = network.predictions(data)?;
    Ok(predictions.iter().zip(data.labels()).map(|(f, y)| (f - y).abs()).fold(0.0, f64::max))
}

/// The units that fire for each sample, ascending.
///
/// # Errors
/// As [`TwoLayer::features`].
/// # Examples
/// ```
/// use linstab_relu::{Dataset, TwoLayer, solutions};
/// let network = TwoLayer::from_parts(1, &[1.0, 1.0], &[1.0, -1.0], &[0.5, 0.5])?;
/// let data = Dataset::new(1, vec![0.0, 1.0], vec![0.0, 0.0])?;
/// assert_eq!(solutions::active_units(&network, &data)?, vec![vec![0, 1], vec![0]]);
/// # Ok::<(), linstab_relu::ReluError>(())
/// ```
pub fn active_units(network: &TwoLayer, data: &Dataset) -> Result<Vec<Vec<usize>>> {
    let features = network.features(data)?;
    let active = |row: &[f64]| (0..row.len()).filter(|&u| row[u] > 0.0).collect();
    Ok(features.chunks_exact(network.width()).map(active).collect())
}

/// The inverse of an admissible scale.
fn inverse_scale(scale: f64) -> Result<f64> {
    require_nonnegative("scale r", scale, true)?;
    require_nonnegative("inverse of the scale r", 1.0 / scale, true)?;
    Ok(1.0 / scale)
}

fn require_distinct(data: &Dataset) -> Result<()> {
    let mut order: Vec<usize> = (0..data.num_samples()).collect();
    // Adding 0 makes one of the two zeros.
    let key = |i: usize| data.input(i).iter().map(|x| (x + 0.0).to_bits());
    order.sort_by(|&i, &j| key(i).cmp(key(j)).then(i.cmp(&j)));
    let duplicate = order.windows(2).find(|pair| key(pair[0]).eq(key(pair[1])));
    duplicate.map_or(Ok(()), |pair| Err(ReluError::DuplicateInputs { first: pair[0], second: pair[1] }))
}
