//! Labelled data.

use std::sync::OnceLock;

use crate::error::{require_positive_size, require_size};
use crate::layout::{LANES, dot, stride};
use crate::{ReluError, Result};

/// Inputs with a label each, all finite.
#[derive(Clone, Debug)]
pub struct Dataset {
    num_inputs: usize,
    inputs: Vec<f64>,
    labels: Vec<f64>,
    /// `(x, 1)` of each sample, padded (see `layout`).
    extended: Vec<f64>,
    /// Inner products of the extended inputs; made when they are first asked for.
    gram: OnceLock<Vec<f64>>,
}

impl Dataset {
    /// A data set from its inputs and labels.
    ///
    /// # Shapes
    /// `inputs`: row-major (num_samples, num_inputs); `labels`: (num_samples).
    /// # Errors
    /// [`ReluError::EmptyDataset`]; [`ReluError::OutOfRange`] for `num_inputs = 0`; [`ReluError::SizeMismatch`];
    /// [`ReluError::NonFiniteInput`] and [`ReluError::NonFiniteLabel`] with the place.
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, ReluError};
    /// let data = Dataset::new(2, vec![1.0, 2.0, 3.0, 4.0], vec![1.0, -1.0])?;
    /// assert_eq!((data.num_samples(), data.input(1)), (2, &[3.0, 4.0][..]));
    /// let error = Dataset::new(2, vec![1.0, 2.0, 3.0, f64::NAN], vec![1.0, -1.0]).unwrap_err();
    /// assert_eq!(error, ReluError::NonFiniteInput { sample: 1, column: 1 });
    /// # Ok::<(), ReluError>(())
    /// ```
    pub fn new(num_inputs: usize, inputs: Vec<f64>, labels: Vec<f64>) -> Result<Self> {
        require_positive_size("num_inputs", num_inputs)?;
        if labels.is_empty() {
            return Err(ReluError::EmptyDataset);
        }
        let expected = labels.len().saturating_mul(num_inputs);
        require_size("number of input entries", expected, inputs.len())?;
        if let Some(at) = inputs.iter().position(|x| !x.is_finite()) {
            return Err(ReluError::NonFiniteInput { sample: at / num_inputs, column: at % num_inputs });
        }
        if let Some(sample) = labels.iter().position(|y| !y.is_finite()) {
            return Err(ReluError::NonFiniteLabel { sample });
        }
        let stride = stride(num_inputs);
        let mut extended = vec![0.0; labels.len() * stride];
        for (row, input) in extended.chunks_exact_mut(stride).zip(inputs.chunks_exact(num_inputs)) {
            row[..num_inputs].copy_from_slice(input);
            row[num_inputs] = 1.0;
        }
        Ok(Self { num_inputs, inputs, labels, extended, gram: OnceLock::new() })
    }

    /// The data set itself, if every label is 1 or -1.
    ///
    /// # Errors
    /// [`ReluError::LabelNotSign`] with the first other label.
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, ReluError};
    /// let data = Dataset::new(1, vec![0.5, 0.7], vec![1.0, 3.0])?;
    /// assert_eq!(data.require_signs().unwrap_err(), ReluError::LabelNotSign { sample: 1, label: 3.0 });
    /// # Ok::<(), ReluError>(())
    /// ```
    pub fn require_signs(&self) -> Result<&Self> {
        let is_sign = |label: f64| label.abs().to_bits() == 1.0_f64.to_bits();
        match self.labels.iter().position(|&label| !is_sign(label)) {
            None => Ok(self),
            Some(sample) => Err(ReluError::LabelNotSign { sample, label: self.labels[sample] }),
        }
    }

    /// Number of samples, `n`; at least 1.
    pub fn num_samples(&self) -> usize {
        self.labels.len()
    }

    /// Number of inputs a sample, `d`; at least 1.
    pub fn num_inputs(&self) -> usize {
        self.num_inputs
    }

    /// All inputs, row-major (num_samples, num_inputs).
    pub fn inputs(&self) -> &[f64] {
        &self.inputs
    }

    /// The input of one sample.
    ///
    /// # Panics
    /// If `sample >= num_samples()`.
    pub fn input(&self, sample: usize) -> &[f64] {
        &self.inputs[sample * self.num_inputs..(sample + 1) * self.num_inputs]
    }

    /// The labels.
    pub fn labels(&self) -> &[f64] {
        &self.labels
    }

    /// `(x, 1)`, padded.
    #[inline]
    pub(crate) fn extended(&self, sample: usize) -> &[f64] {
        let stride = stride(self.num_inputs);
        &self.extended[sample * stride..(sample + 1) * stride]
    }

    /// `|x|^2 + 1`.
    pub(crate) fn extended_squared_norm(&self, sample: usize) -> f64 {
        dot(self.extended(sample), self.extended(sample))
    }

    /// Length of a row of [`Dataset::extended_gram`].
    pub(crate) fn gram_stride(&self) -> usize {
        self.num_samples().next_multiple_of(LANES)
    }

    /// `x_i . x_j + 1`, a padded row for each sample.
    pub(crate) fn extended_gram(&self) -> &[f64] {
        self.gram.get_or_init(|| {
            let (n, stride) = (self.num_samples(), self.gram_stride());
            let mut gram = vec![0.0; n * stride];
            for i in 0..n {
                for j in 0..=i {
                    let product = dot(self.extended(i), self.extended(j));
                    gram[i * stride + j] = product;
                    gram[j * stride + i] = product;
                }
            }
            gram
        })
    }
}
