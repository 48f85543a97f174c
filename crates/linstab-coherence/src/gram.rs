//! Coherence from inner products of factors alone: with the factors of all samples as rows of `G` and `K = G G^T` in `k x k` blocks
//! `K_ij`, `tr(H_i H_j) = |K_ij|_F^2` and `lambda_max(H_i) = lambda_max(K_ii)`. No matrix over the parameters appears.

use linstab_dynamics::optimizer::ascent;
use linstab_linalg::lanczos::{self, LanczosOptions};
use linstab_linalg::{Mat, MatRef, Reduced, gram_matrix, symmetric};

use crate::{CoherenceError, Result};

/// The traces `tr(H_i H_j)` from the Gram matrix of the factors.
///
/// # Shapes
/// `gram`: (n k, n k), both triangles; the result: (n, n).
/// # Panics
/// If `num_factors` is 0 or does not divide the order.
/// # Examples
/// ```
/// use linstab_coherence::traces_of_gram;
/// use linstab_linalg::Mat;
/// // One sample with the orthogonal factors (1, 0) and (0, 2): H = diag(1, 4), and tr(H H) = 17.
/// let gram = Mat::from_fn(2, 2, |i, j| if i == j { [1.0, 4.0][i] } else { 0.0 });
/// assert_eq!(traces_of_gram(gram.as_ref(), 2)[(0, 0)], 17.0);
/// ```
#[track_caller]
pub fn traces_of_gram(gram: MatRef<'_, f64>, num_factors: usize) -> Mat<f64> {
    assert!(
        num_factors > 0 && gram.nrows().is_multiple_of(num_factors),
        "{num_factors} factors a sample in a Gram matrix of order {}",
        gram.nrows()
    );
    let k = num_factors;
    Mat::from_fn(gram.nrows() / k, gram.nrows() / k, |i, j| {
        gram.submatrix(i * k, j * k, k, k).squared_norm_l2()
    })
}

/// All that the factors say about coherence.
///
/// # Examples
/// ```
/// use linstab_coherence::FactorCoherence;
/// use linstab_linalg::{Factored, Reduced};
/// // Samples of curvature 4 and 1 at right angles: S is diagonal.
/// let coherence = FactorCoherence::of(&Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?)?;
/// assert!((coherence.top_eigenvalue - 4.0).abs() < 1e-12 && (coherence.measure - 1.0).abs() < 1e-12);
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FactorCoherence {
    /// The coherence matrix `S`, `S_ij = sqrt(tr(H_i H_j))`.
    pub matrix: Mat<f64>,
    /// `lambda_max(S)`, by Lanczos.
    pub top_eigenvalue: f64,
    /// The eigenvector of `lambda_max(S)`, nonnegative and of unit length: the larger an entry, the more its sample coheres.
    pub weights: Vec<f64>,
    /// Largest eigenvalue of each sample's curvature.
    pub sample_sharpness: Vec<f64>,
    /// The largest of these, `max_i lambda_max(H_i)`.
    pub max_sample_sharpness: f64,
    /// `sigma = lambda_max(S) / max_i lambda_max(H_i)`.
    pub measure: f64,
    /// `n lambda_1 <= lambda_max(S) <= n |H|_F`: what the spectrum of the mean alone says.
    ///
    /// With the factors `F_i` of the samples, `n lambda_1` is the norm of the matrix of blocks `F_i^T F_j` and thus at most that of the
    /// matrix of their Frobenius norms, which is `S`; and `|S|_F^2 = sum_ij tr(H_i H_j) = n^2 tr(H^2)`.
    pub bounds: (f64, f64),
}

impl FactorCoherence {
    /// The coherence of an ensemble in reduced form.
    ///
    /// # Cost
    /// A product of `(n k)^2 r` and some ten products of `S` with a vector.
    /// # Errors
    /// [`CoherenceError::NoCurvature`] if every curvature is zero, [`CoherenceError::Linalg`] if an eigenvalue iteration fails.
    /// # Examples
    /// ```
    /// use linstab_coherence::FactorCoherence;
    /// use linstab_linalg::{Factored, Reduced};
    /// // Three samples that coincide: every bound is met.
    /// let coherence = FactorCoherence::of(&Reduced::of(&Factored::new(3, 1, 1, vec![2.0; 3])?)?)?;
    /// assert!((coherence.measure - 3.0).abs() < 1e-12);
    /// assert!((coherence.bounds.0 - 12.0).abs() < 1e-12 && (coherence.bounds.1 - 12.0).abs() < 1e-12);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn of(ensemble: &Reduced) -> Result<Self> {
        Self::of_gram(gram_matrix(ensemble.factors())?.as_ref(), ensemble)
    }

    /// The same where the inner products of the factors are at hand, of which the ensemble was made: without the product.
    ///
    /// # Shapes
    /// `gram`: (n k, n k), both triangles.
    /// # Panics
    /// If the order is another.
    /// # Errors
    /// As [`FactorCoherence::of`].
    /// # Examples
    /// ```
    /// use linstab_coherence::FactorCoherence;
    /// use linstab_linalg::{Mat, Reduced};
    /// let gram = Mat::from_fn(2, 2, |i, j| if i == j { [4.0, 1.0][i] } else { 0.0 });
    /// let ensemble = Reduced::from_gram(gram.as_ref(), 2, 1)?;
    /// assert!((FactorCoherence::of_gram(gram.as_ref(), &ensemble)?.measure - 1.0).abs() < 1e-12);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    #[track_caller]
    pub fn of_gram(gram: MatRef<'_, f64>, ensemble: &Reduced) -> Result<Self> {
        if ensemble.rank() == 0 {
            return Err(CoherenceError::NoCurvature);
        }
        let (n, k) = (ensemble.num_samples(), ensemble.num_factors());
        assert!(gram.nrows() == n * k, "inner products of {} factors, expected {}", gram.nrows(), n * k);
        let mut matrix = traces_of_gram(gram, k);
        for j in 0..n {
            for entry in matrix.col_as_slice_mut(j) {
                *entry = entry.sqrt();
            }
        }
        let (top_eigenvalue, weights) = top_eigenpair(&matrix)?;
        let mut sample_sharpness = Vec::with_capacity(n);
        for i in 0..n {
            let block = gram.submatrix(i * k, i * k, k, k);
            sample_sharpness.push(if k == 1 {
                block[(0, 0)]
            } else {
                symmetric::top_eigenvalue(block)?.max(0.0)
            });
        }
        let max_sample_sharpness = sample_sharpness.iter().copied().fold(0.0, f64::max);
        let eigenvalues = ensemble.mean_eigenvalues();
        let frobenius = eigenvalues.iter().map(|l| l * l).sum::<f64>().sqrt();
        let bounds = (n as f64 * eigenvalues[0], n as f64 * frobenius);
        let measure = top_eigenvalue / max_sample_sharpness;
        Ok(Self { matrix, top_eigenvalue, weights, sample_sharpness, max_sample_sharpness, measure, bounds })
    }

    /// The coherence that SAM with full-batch ascent sees, `S_SAM` and `sigma_SAM`: that of `A^{1/2} H_i A^{1/2}`, `A = I + c H`.
    ///
    /// # Errors
    /// As [`FactorCoherence::of`], and [`CoherenceError::OutOfRange`] for a negative or non-finite `rho_over_alpha`.
    /// # Examples
    /// ```
    /// use linstab_coherence::FactorCoherence;
    /// use linstab_linalg::{Factored, Reduced};
    /// // One sample of curvature 2, c = 1/2: SAM sees 2 (1 + 1/2 * 2).
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![2.0_f64.sqrt()])?)?;
    /// let coherence = FactorCoherence::of_sam(&ensemble, 0.5)?;
    /// assert!((coherence.max_sample_sharpness - 4.0).abs() < 1e-12);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    /// # Source
    /// arXiv 2511.17378, section 3: `(S_SAM)_ij = sqrt(tr(A H_i A H_j))`.
    pub fn of_sam(ensemble: &Reduced, rho_over_alpha: f64) -> Result<Self> {
        if !(rho_over_alpha >= 0.0 && rho_over_alpha.is_finite()) {
            let (value, allowed) = (rho_over_alpha, "nonnegative and finite");
            return Err(CoherenceError::OutOfRange { name: "rho_over_alpha", value, allowed });
        }
        Self::of(&ensemble.congruent(|l| ascent(rho_over_alpha, l).sqrt()))
    }

    /// `S_ij / sqrt(S_ii S_jj)`, from 0 (orthogonal ranges) to 1 (proportional curvatures); 0 for a sample without curvature.
    ///
    /// # Panics
    /// If there is no such sample.
    /// # Examples
    /// ```
    /// use linstab_coherence::FactorCoherence;
    /// use linstab_linalg::{Factored, Reduced};
    /// // (1, 0) and (3, 4) enclose the cosine 3/5, and the factors enter squared.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![1.0, 0.0, 3.0, 4.0])?)?;
    /// assert!((FactorCoherence::of(&ensemble)?.pair(0, 1) - 0.6).abs() < 1e-12);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn pair(&self, i: usize, j: usize) -> f64 {
        let size = (self.matrix[(i, i)] * self.matrix[(j, j)]).sqrt();
        if size > 0.0 { (self.matrix[(i, j)] / size).min(1.0) } else { 0.0 }
    }

    /// Groups of samples that cohere: connected by pairs of coherence at least `least`. Largest first, then by their first sample.
    ///
    /// # Examples
    /// ```
    /// use linstab_coherence::FactorCoherence;
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(3, 1, 2, vec![0.0, 1.0, 1.0, 0.0, 2.0, 0.1])?)?;
    /// assert_eq!(FactorCoherence::of(&ensemble)?.blocks(0.5), [vec![1, 2], vec![0]]);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn blocks(&self, least: f64) -> Vec<Vec<usize>> {
        let n = self.matrix.nrows();
        let (mut seen, mut blocks) = (vec![false; n], Vec::new());
        for first in 0..n {
            if std::mem::replace(&mut seen[first], true) {
                continue;
            }
            let (mut block, mut at) = (vec![first], 0);
            while let Some(&i) = block.get(at) {
                for (j, seen) in seen.iter_mut().enumerate() {
                    if !*seen && self.pair(i, j) >= least {
                        *seen = true;
                        block.push(j);
                    }
                }
                at += 1;
            }
            block.sort_unstable();
            blocks.push(block);
        }
        blocks.sort_by(|a, b| b.len().cmp(&a.len()).then(a[0].cmp(&b[0])));
        blocks
    }

    /// Coherence within and between the groups that share a label, ascending by label.
    ///
    /// # Errors
    /// [`CoherenceError::OutOfRange`] unless there is a label for each sample; [`CoherenceError::Linalg`].
    /// # Examples
    /// ```
    /// use linstab_coherence::FactorCoherence;
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(3, 1, 2, vec![0.0, 1.0, 1.0, 0.0, 2.0, 0.0])?)?;
    /// let groups = FactorCoherence::of(&ensemble)?.groups(&[7, 3, 3])?;
    /// assert_eq!((groups[0].label, groups[0].num_samples), (3, 2));
    /// assert!((groups[0].within.unwrap() - 1.0).abs() < 1e-12 && groups[0].across.unwrap() < 1e-6);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn groups(&self, labels: &[i64]) -> Result<Vec<GroupCoherence>> {
        let n = self.matrix.nrows();
        if labels.len() != n {
            let allowed = "the number of samples";
            let value = labels.len() as f64;
            return Err(CoherenceError::OutOfRange { name: "number of labels", value, allowed });
        }
        let mut distinct = labels.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut groups = Vec::with_capacity(distinct.len());
        for label in distinct {
            let members: Vec<usize> = (0..n).filter(|&i| labels[i] == label).collect();
            let (mut within, mut across) = (Mean::default(), Mean::default());
            for &i in &members {
                for (j, &other) in labels.iter().enumerate() {
                    if other != label {
                        across.add(self.pair(i, j));
                    } else if j != i {
                        within.add(self.pair(i, j));
                    }
                }
            }
            let own =
                Mat::from_fn(members.len(), members.len(), |i, j| self.matrix[(members[i], members[j])]);
            let top_eigenvalue = if own.norm_max() > 0.0 { top_eigenpair(&own)?.0 } else { 0.0 };
            let (within, across) = (within.value(), across.value());
            groups.push(GroupCoherence { label, num_samples: members.len(), top_eigenvalue, within, across });
        }
        Ok(groups)
    }
}

/// Coherence of the samples of one label.
///
/// # Examples
/// ```
/// use linstab_coherence::GroupCoherence;
/// let group = GroupCoherence { label: 3, num_samples: 1, top_eigenvalue: 2.0, within: None, across: Some(0.5) };
/// assert!(group.within.is_none(), "a single sample makes no pair");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupCoherence {
    /// The label.
    pub label: i64,
    /// Number of its samples.
    pub num_samples: usize,
    /// Largest eigenvalue of the block of `S` of these samples.
    pub top_eigenvalue: f64,
    /// Mean coherence of two of them (see [`FactorCoherence::pair`]); `None` for a single sample.
    pub within: Option<f64>,
    /// Mean coherence of one of them and one of another label; `None` if there is no other.
    pub across: Option<f64>,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// The matrix is nonnegative, so its top eigenvector can be chosen so, and the vector of ones overlaps it.
fn top_eigenpair(matrix: &Mat<f64>) -> Result<(f64, Vec<f64>)> {
    let start = vec![1.0; matrix.nrows()];
    let options = LanczosOptions { basis_size: 20, ..LanczosOptions::default() };
    let top = lanczos::top_eigenpair_of(matrix, &start, options)?;
    Ok((top.value, top.vector.iter().map(|x| x.abs()).collect()))
}

/// Effective rank `exp(-sum_a p_a log p_a)`, `p_a` the share of eigenvalue `a` in the trace: `r` for `r` equal ones. 0 for none.
///
/// # Examples
/// ```
/// use linstab_coherence::effective_rank;
/// assert!((effective_rank(&[2.0, 2.0, 2.0, 0.0]) - 3.0).abs() < 1e-12);
/// assert!((effective_rank(&[5.0]) - 1.0).abs() < 1e-12 && effective_rank(&[]) == 0.0);
/// ```
/// # Source
/// Roy and Vetterli 2007, The effective rank: a measure of effective dimensionality.
pub fn effective_rank(eigenvalues: &[f64]) -> f64 {
    let trace: f64 = eigenvalues.iter().filter(|l| **l > 0.0).sum();
    if trace <= 0.0 {
        return 0.0;
    }
    let shares = eigenvalues.iter().filter(|l| **l > 0.0).map(|l| l / trace);
    (-shares.map(|p| p * p.ln()).sum::<f64>()).exp()
}
