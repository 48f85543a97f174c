//! Ensembles whose curvatures are all diagonal in one basis.

use super::{Ensemble, require_len, require_samples};
use crate::{LinalgError, Mat, MatRef, Result};

/// Curvatures that are diagonal in a common basis: `H_i = diag(h_i1 .. h_id)`, stored by axis, nonzeros only.
///
/// The axes do not interact, so every exact quantity is a maximum or minimum over scalar problems.
///
/// # Examples
/// ```
/// use linstab_linalg::{AxisAligned, Ensemble};
/// let ensemble = AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0]])?;
/// assert_eq!((ensemble.num_samples(), ensemble.dim(), ensemble.sharpness()?), (2, 2, 2.0));
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AxisAligned {
    num_samples: usize,
    /// Axis `a` owns the entries `offsets[a] .. offsets[a + 1]`.
    offsets: Vec<usize>,
    samples: Vec<usize>,
    curvatures: Vec<f64>,
}

/// One axis of an [`AxisAligned`] ensemble: the samples that curve it, ascending, and by how much.
///
/// # Examples
/// ```
/// use linstab_linalg::AxisAligned;
/// let ensemble = AxisAligned::from_diagonals(&[vec![0.0], vec![2.0]])?;
/// let axis = ensemble.axis(0);
/// assert_eq!((axis.samples(), axis.curvatures(), axis.mean()), (&[1][..], &[2.0][..], 1.0));
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    num_samples: usize,
    samples: &'a [usize],
    curvatures: &'a [f64],
}

impl<'a> Axis<'a> {
    /// Samples with positive curvature along this axis, ascending.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// assert_eq!(AxisAligned::from_axes(4, vec![vec![(3, 1.0), (2, 5.0)]])?.axis(0).samples(), [2, 3]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn samples(&self) -> &'a [usize] {
        self.samples
    }

    /// Their curvatures, all positive; the samples that are not listed have curvature 0.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// assert_eq!(AxisAligned::from_axes(4, vec![vec![(3, 1.0), (2, 5.0)]])?.axis(0).curvatures(), [5.0, 1.0]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn curvatures(&self) -> &'a [f64] {
        self.curvatures
    }

    /// Mean curvature over all samples, `(1/n) sum_i h_i`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// // Four samples, of which one has curvature 4 and three none.
    /// assert_eq!(AxisAligned::from_axes(4, vec![vec![(2, 4.0)]])?.axis(0).mean(), 1.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn mean(&self) -> f64 {
        self.curvatures.iter().sum::<f64>() / self.num_samples as f64
    }

    /// Mean of the squared curvatures, `(1/n) sum_i h_i^2`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// assert_eq!(AxisAligned::from_axes(4, vec![vec![(2, 4.0)]])?.axis(0).mean_square(), 4.0); // 16 / 4
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn mean_square(&self) -> f64 {
        self.curvatures.iter().map(|h| h * h).sum::<f64>() / self.num_samples as f64
    }

    /// Population variance over all samples, by the two-pass formula.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// assert_eq!(AxisAligned::from_axes(4, vec![vec![(2, 4.0)]])?.axis(0).variance(), 3.0); // (9 + 1 + 1 + 1) / 4
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let num_zeros = (self.num_samples - self.curvatures.len()) as f64;
        let listed: f64 = self.curvatures.iter().map(|h| (h - mean) * (h - mean)).sum();
        (listed + num_zeros * mean * mean) / self.num_samples as f64
    }
}

impl AxisAligned {
    /// An ensemble from its diagonals: `diagonals[i][a]` is the curvature of sample `i` along axis `a`.
    ///
    /// # Shapes
    /// `num_samples` diagonals of equal length, which becomes `dim`.
    /// # Errors
    /// [`LinalgError::EmptyEnsemble`], [`LinalgError::ShapeMismatch`], [`LinalgError::NonFinite`], or
    /// [`LinalgError::NotPositiveSemidefinite`] (tolerance 0: a diagonal entry is an eigenvalue).
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]])?;
    /// assert_eq!(ensemble.axis(0).mean(), 1.5);
    /// assert_eq!(ensemble.axis(0).variance(), 0.75);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn from_diagonals(diagonals: &[Vec<f64>]) -> Result<Self> {
        require_samples(diagonals.len())?;
        let dim = diagonals[0].len();
        for diagonal in diagonals {
            require_len("length of a diagonal", dim, diagonal.len())?;
        }
        let axes = (0..dim)
            .map(|axis| diagonals.iter().map(|diagonal| diagonal[axis]).enumerate().collect())
            .collect();
        Self::from_axes(diagonals.len(), axes)
    }

    /// An ensemble from its nonzeros: `axes[a]` lists (sample, curvature) pairs, in any order; zeros are dropped.
    ///
    /// # Errors
    /// As [`AxisAligned::from_diagonals`]; besides, [`LinalgError::ShapeMismatch`] for a sample index out of range
    /// and [`LinalgError::DuplicateEntry`] for one listed twice.
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// // Sample 2 curves the first axis by 4, sample 0 the second by 1.
    /// let ensemble = AxisAligned::from_axes(3, vec![vec![(2, 4.0)], vec![(0, 1.0)]])?;
    /// assert_eq!(ensemble, AxisAligned::from_diagonals(&[vec![0.0, 1.0], vec![0.0, 0.0], vec![4.0, 0.0]])?);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn from_axes(num_samples: usize, axes: Vec<Vec<(usize, f64)>>) -> Result<Self> {
        require_samples(num_samples)?;
        let (mut offsets, mut samples, mut curvatures) = (vec![0], Vec::new(), Vec::new());
        for (axis, mut entries) in axes.into_iter().enumerate() {
            entries.sort_unstable_by_key(|&(sample, _)| sample);
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(LinalgError::DuplicateEntry { axis, sample: pair[0].0 });
            }
            for (sample, curvature) in entries {
                check_entry(num_samples, axis, sample, curvature)?;
                if curvature > 0.0 {
                    samples.push(sample);
                    curvatures.push(curvature);
                }
            }
            offsets.push(samples.len());
        }
        Ok(Self { num_samples, offsets, samples, curvatures })
    }

    /// The test family of phase diagrams over batch size and coherence: `coherence` samples share one axis, every
    /// other sample has an axis of its own, and all samples are equally sharp.
    ///
    /// Definition: `H_i = m e_1 e_1^T` for `i <= coherence`, `H_i = m e_a e_a^T`, `a = i - coherence + 1`,
    /// otherwise; `m = sharpness * n / coherence`, so that the mean curvature has largest eigenvalue `sharpness`.
    ///
    /// # Range
    /// `1 <= coherence <= num_samples`, `sharpness` positive and finite; `dim = num_samples - coherence + 1`.
    /// # Errors
    /// [`LinalgError::EmptyEnsemble`] or [`LinalgError::OutOfRange`].
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// // Two of four samples share an axis, the other two have one each; m = 2 * 4 / 2.
    /// let ensemble = AxisAligned::shared_direction(4, 2, 2.0)?;
    /// assert_eq!((ensemble.dim(), ensemble.sharpness()?), (3, 2.0));
    /// assert_eq!(ensemble.axis(0).curvatures(), [4.0, 4.0]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    /// # Source
    /// Dexter et al. 2024; arXiv 2511.17378, Appendix C.3 (there with sharpness 2).
    pub fn shared_direction(num_samples: usize, coherence: usize, sharpness: f64) -> Result<Self> {
        require_samples(num_samples)?;
        if coherence == 0 || coherence > num_samples {
            let value = coherence as f64;
            return Err(LinalgError::OutOfRange { name: "coherence", value, allowed: "1 to num_samples" });
        }
        if !(sharpness > 0.0 && sharpness.is_finite()) {
            let allowed = "positive and finite";
            return Err(LinalgError::OutOfRange { name: "sharpness", value: sharpness, allowed });
        }
        let curvature = sharpness * num_samples as f64 / coherence as f64;
        if !curvature.is_finite() {
            let (name, allowed) = ("sharpness * num_samples / coherence", "finite");
            return Err(LinalgError::OutOfRange { name, value: curvature, allowed });
        }
        let mut offsets = vec![0];
        offsets.extend(coherence..=num_samples);
        Ok(Self {
            num_samples,
            offsets,
            samples: (0..num_samples).collect(),
            curvatures: vec![curvature; num_samples],
        })
    }

    /// One axis.
    ///
    /// # Panics
    /// If `axis >= dim()`.
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0]])?;
    /// assert_eq!(ensemble.axis(1).curvatures(), [1.0]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn axis(&self, axis: usize) -> Axis<'_> {
        assert!(axis < self.dim(), "axis {axis} of an ensemble of dimension {}", self.dim());
        let range = self.offsets[axis]..self.offsets[axis + 1];
        Axis {
            num_samples: self.num_samples,
            samples: &self.samples[range.clone()],
            curvatures: &self.curvatures[range],
        }
    }

    /// All axes, in order.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0]])?;
    /// let means: Vec<f64> = ensemble.axes().map(|axis| axis.mean()).collect();
    /// assert_eq!(means, [2.0, 0.5]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn axes(&self) -> impl ExactSizeIterator<Item = Axis<'_>> {
        (0..self.dim()).map(|axis| self.axis(axis))
    }

    /// The ensemble with each axis multiplied by `factor(mean curvature of the axis)`: a congruence by a diagonal
    /// matrix that commutes with every curvature.
    ///
    /// # Errors
    /// [`LinalgError::NonFinite`] or [`LinalgError::NotPositiveSemidefinite`] if a factor makes an entry so.
    /// # Examples
    /// ```
    /// use linstab_linalg::AxisAligned;
    /// // The axis has mean 2, so its curvatures 1 and 3 are multiplied by 1 + 2.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// assert_eq!(ensemble.scale_axes(|mean| 1.0 + mean)?.axis(0).curvatures(), [3.0, 9.0]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn scale_axes(&self, factor: impl Fn(f64) -> f64) -> Result<Self> {
        let mut scaled = self.clone();
        for axis in 0..self.dim() {
            let factor = factor(self.axis(axis).mean());
            for entry in self.offsets[axis]..self.offsets[axis + 1] {
                scaled.curvatures[entry] *= factor;
                check_entry(self.num_samples, axis, self.samples[entry], scaled.curvatures[entry])?;
            }
        }
        Ok(scaled)
    }

    fn curvature(&self, axis: usize, sample: usize) -> f64 {
        let axis = self.axis(axis);
        axis.samples.binary_search(&sample).map_or(0.0, |at| axis.curvatures[at])
    }
}

fn check_entry(num_samples: usize, axis: usize, sample: usize, curvature: f64) -> Result<()> {
    if sample >= num_samples {
        let what = "one more than a sample index";
        return Err(LinalgError::ShapeMismatch { what, expected: num_samples, found: sample + 1 });
    }
    if !curvature.is_finite() {
        return Err(LinalgError::NonFinite { sample, row: axis, column: axis });
    }
    if curvature < 0.0 {
        return Err(LinalgError::NotPositiveSemidefinite {
            sample,
            min_eigenvalue: curvature,
            tolerance: 0.0,
        });
    }
    Ok(())
}

impl Ensemble for AxisAligned {
    fn num_samples(&self) -> usize {
        self.num_samples
    }

    fn dim(&self) -> usize {
        self.offsets.len() - 1
    }

    fn sample_hessian(&self, sample: usize) -> Mat<f64> {
        assert!(sample < self.num_samples, "sample {sample} of {}", self.num_samples);
        let mut hessian = Mat::zeros(self.dim(), self.dim());
        for axis in 0..self.dim() {
            hessian[(axis, axis)] = self.curvature(axis, sample);
        }
        hessian
    }

    fn mean_hessian(&self) -> Mat<f64> {
        let mut mean = Mat::zeros(self.dim(), self.dim());
        for (index, axis) in self.axes().enumerate() {
            mean[(index, index)] = axis.mean();
        }
        mean
    }

    fn sum_of_sandwiches(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let mut sum = Mat::zeros(self.dim(), self.dim());
        for (a, left) in self.axes().enumerate() {
            for (b, right) in self.axes().enumerate() {
                sum[(a, b)] = x[(a, b)] * sparse_dot(left, right);
            }
        }
        sum
    }

    fn trace_of_product(&self, i: usize, j: usize) -> f64 {
        (0..self.dim()).map(|axis| self.curvature(axis, i) * self.curvature(axis, j)).sum()
    }

    fn sample_sharpness(&self, sample: usize) -> Result<f64> {
        Ok((0..self.dim()).map(|axis| self.curvature(axis, sample)).fold(0.0, f64::max))
    }

    fn mean_eigenvalues(&self) -> Result<Vec<f64>> {
        let mut eigenvalues: Vec<f64> = self.axes().map(|axis| axis.mean()).collect();
        eigenvalues.sort_unstable_by(f64::total_cmp);
        Ok(eigenvalues)
    }
}

/// `sum_i left_i right_i` over the samples that both axes list.
fn sparse_dot(left: Axis<'_>, right: Axis<'_>) -> f64 {
    let (mut l, mut r, mut sum) = (0, 0, 0.0);
    while l < left.samples.len() && r < right.samples.len() {
        match left.samples[l].cmp(&right.samples[r]) {
            std::cmp::Ordering::Less => l += 1,
            std::cmp::Ordering::Greater => r += 1,
            std::cmp::Ordering::Equal => {
                sum += left.curvatures[l] * right.curvatures[r];
                l += 1;
                r += 1;
            }
        }
    }
    sum
}
