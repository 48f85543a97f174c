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

    /// Overwrites `features` with `relu(v_u . xt)` and returns the prediction.
    ///
    /// A NaN stays one, so that it reaches the prediction instead of passing for a silent unit.
    #[inline]
    pub(crate) fn forward(self, packed: &[f64], extended: &[f64], features: &mut [f64]) -> f64 {
        let (rows, output) = self.split(packed);
        let mut prediction = 0.0;
        for ((row, weight), feature) in rows.chunks_exact(self.stride).zip(output).zip(features) {
            let pre_activation = dot(row, extended);
            *feature = if pre_activation <= 0.0 { 0.0 } else { pre_activation };
            prediction += weight * *feature;
        }
        prediction
    }

    /// Adds `factor` times the gradient of the prediction, given the features of the sample.
    #[inline]
    pub(crate) fn add_gradient(
        self,
        packed: &[f64],
        extended: &[f64],
        features: &[f64],
        factor: f64,
        sum: &mut [f64],
    ) {
        let output = self.split(packed).1;
        let (row_sums, output_sums) = self.split_mut(sum);
        let units = row_sums.chunks_exact_mut(self.stride).zip(output_sums);
        for ((row, output_sum), (weight, feature)) in units.zip(output.iter().zip(features)) {
            if *feature > 0.0 {
                *output_sum += factor * feature;
                add_scaled(row, factor * weight, extended);
            }
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
    let half: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (half[0] + half[2]) + (half[1] + half[3])
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
