//! The layout that the kernels work on, and the few loops they are made of.
//!
//! A hidden unit `u` and an input `x` meet only in `W1_u . x + b_u = v_u . xt` with the extended rows `v_u = (W1_u, b_u)`
//! and `xt = (x, 1)`. Both are padded with zeros to a multiple of [`LANES`], so that every inner loop runs over whole
//! blocks; products and sums of the padding are zero and never seen.

use crate::TwoLayer;

/// Length of a block of the inner loops.
pub(crate) const LANES: usize = 8;

/// Length of an extended, padded row for `num_inputs` inputs.
pub(crate) fn stride(num_inputs: usize) -> usize {
    (num_inputs + 1).next_multiple_of(LANES)
}

/// Sizes of a network in the padded layout: `width` extended rows, then the `width` output weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) num_inputs: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
}

impl Layout {
    pub(crate) fn new(num_inputs: usize, width: usize) -> Self {
        Self { num_inputs, width, stride: stride(num_inputs) }
    }

    pub(crate) fn of(network: &TwoLayer) -> Self {
        Self::new(network.num_inputs(), network.width())
    }

    /// Number of entries, padding included.
    pub(crate) fn len(self) -> usize {
        self.width * (self.stride + 1)
    }

    /// The parameters of `network`, padded.
    pub(crate) fn packed(network: &TwoLayer) -> Vec<f64> {
        let layout = Self::of(network);
        let mut packed = vec![0.0; layout.len()];
        layout.pack(network.parameters(), &mut packed);
        packed
    }

    /// Copies parameters in the order (W2, W1, b1) into the padded layout; the padding is left as it is.
    pub(crate) fn pack(self, parameters: &[f64], packed: &mut [f64]) {
        let (output, rest) = parameters.split_at(self.width);
        let (inputs, biases) = rest.split_at(self.width * self.num_inputs);
        let (rows, packed_output) = packed.split_at_mut(self.width * self.stride);
        packed_output.copy_from_slice(output);
        let sources = inputs.chunks_exact(self.num_inputs).zip(biases);
        for (row, (input_weights, bias)) in rows.chunks_exact_mut(self.stride).zip(sources) {
            row[..self.num_inputs].copy_from_slice(input_weights);
            row[self.num_inputs] = *bias;
        }
    }

    /// The inverse of [`Layout::pack`].
    pub(crate) fn unpack(self, packed: &[f64], parameters: &mut [f64]) {
        let (output, rest) = parameters.split_at_mut(self.width);
        let (inputs, biases) = rest.split_at_mut(self.width * self.num_inputs);
        let (rows, packed_output) = self.split(packed);
        output.copy_from_slice(packed_output);
        let targets = inputs.chunks_exact_mut(self.num_inputs).zip(biases);
        for (row, (input_weights, bias)) in rows.chunks_exact(self.stride).zip(targets) {
            input_weights.copy_from_slice(&row[..self.num_inputs]);
            *bias = row[self.num_inputs];
        }
    }

    /// The extended rows and the output weights.
    #[inline]
    pub(crate) fn split(self, packed: &[f64]) -> (&[f64], &[f64]) {
        packed.split_at(self.width * self.stride)
    }

    /// The extended rows and the output weights, to be changed.
    #[inline]
    pub(crate) fn split_mut(self, packed: &mut [f64]) -> (&mut [f64], &mut [f64]) {
        packed.split_at_mut(self.width * self.stride)
    }

    /// Overwrites `features`, row-major (samples, width), with `relu(v_u . xt)`, and `predictions` with the predictions of as
    /// many samples.
    ///
    /// Two units at a time visit all samples, so that their rows stay in the fastest cache. A NaN stays one, so that it
    /// reaches the prediction instead of passing for a silent unit.
    #[inline]
    pub(crate) fn forward<'a>(
        self,
        packed: &[f64],
        extended: impl Fn(usize) -> &'a [f64],
        features: &mut [f64],
        predictions: &mut [f64],
    ) {
        let Self { width, stride, .. } = self;
        let (rows, output) = self.split(packed);
        predictions.fill(0.0);
        let pairs = rows.chunks_exact(2 * stride);
        let last = pairs.remainder();
        for (pair, rows) in pairs.enumerate() {
            let (rows, u) = (rows.split_at(stride), 2 * pair);
            for (i, prediction) in predictions.iter_mut().enumerate() {
                let pre_activations = dot_pair([rows.0, rows.1], extended(i));
                let both = [relu(pre_activations[0]), relu(pre_activations[1])];
                *prediction += output[u] * both[0] + output[u + 1] * both[1];
                features[i * width + u..][..2].copy_from_slice(&both);
            }
        }
        if !last.is_empty() {
            for (i, prediction) in predictions.iter_mut().enumerate() {
                let feature = relu(dot(last, extended(i)));
                *prediction += output[width - 1] * feature;
                features[i * width + width - 1] = feature;
            }
        }
    }

    /// Adds `sum_i factors_i g_i`, the gradients of the predictions, given the features.
    #[inline]
    pub(crate) fn add_gradients<'a>(
        self,
        packed: &[f64],
        extended: impl Fn(usize) -> &'a [f64],
        features: &[f64],
        factors: &[f64],
        sum: &mut [f64],
    ) {
        let output = self.split(packed).1;
        let (row_sums, output_sums) = self.split_mut(sum);
        let sums = row_sums.chunks_exact_mut(self.stride).zip(output_sums);
        for (u, ((row, output_sum), weight)) in sums.zip(output).enumerate() {
            let of_unit = features[u..].iter().step_by(self.width);
            let active = of_unit.zip(factors).enumerate().filter(|(_, (feature, _))| **feature > 0.0);
            add_combination(
                row,
                active.map(|(i, (feature, factor))| {
                    *output_sum += factor * feature;
                    (factor * weight, extended(i))
                }),
            );
        }
    }
}

#[inline]
fn relu(pre_activation: f64) -> f64 {
    if pre_activation <= 0.0 { 0.0 } else { pre_activation }
}

/// `x <- x + sum factor * y`, two terms at a time.
#[inline]
pub(crate) fn add_combination<'a>(x: &mut [f64], mut terms: impl Iterator<Item = (f64, &'a [f64])>) {
    while let Some((first, y)) = terms.next() {
        match terms.next() {
            Some((second, z)) => add_scaled_pair(x, [first, second], [y, z]),
            None => add_scaled(x, first, y),
        }
    }
}

/// The products of two rows with a third, each as [`dot`] gives it.
#[inline]
pub(crate) fn dot_pair(rows: [&[f64]; 2], y: &[f64]) -> [f64; 2] {
    let mut lanes = [[0.0; LANES]; 2];
    let blocks = rows[0].as_chunks::<LANES>().0.iter().zip(rows[1].as_chunks::<LANES>().0);
    for ((a, b), c) in blocks.zip(y.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[0][lane] += a[lane] * c[lane];
            lanes[1][lane] += b[lane] * c[lane];
        }
    }
    [sum_lanes(lanes[0]), sum_lanes(lanes[1])]
}

#[inline]
fn sum_lanes(lanes: [f64; LANES]) -> f64 {
    let half: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (half[0] + half[2]) + (half[1] + half[3])
}

/// `x <- x + factors_0 * rows_0 + factors_1 * rows_1` over whole blocks.
#[inline]
fn add_scaled_pair(x: &mut [f64], factors: [f64; 2], rows: [&[f64]; 2]) {
    let blocks = rows[0].as_chunks::<LANES>().0.iter().zip(rows[1].as_chunks::<LANES>().0);
    for (a, (b, c)) in x.as_chunks_mut::<LANES>().0.iter_mut().zip(blocks) {
        for lane in 0..LANES {
            a[lane] += factors[0] * b[lane] + factors[1] * c[lane];
        }
    }
}

/// `sum_i x_i y_i` over whole blocks, in a fixed order.
#[inline]
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (a, b) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    sum_lanes(lanes)
}

/// `x <- x + factor * y` over whole blocks.
#[inline]
pub(crate) fn add_scaled(x: &mut [f64], factor: f64, y: &[f64]) {
    for (a, b) in x.as_chunks_mut::<LANES>().0.iter_mut().zip(y.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            a[lane] += factor * b[lane];
        }
    }
}
