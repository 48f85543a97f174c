//! What the paper says of its (C, r) solutions of the parity task at the flattest scale, `r = (d + 1)^{1/4}`: every sample has sharpness
//! `q = 2 sqrt(d + 1)`, and samples of one of the `2^C` patterns cohere.
//!
//! All assume those networks and independent uniform inputs; none applies to a network at large.

use crate::{CoherenceError, Result};

/// A (C, r) solution and its data.
///
/// # Examples
/// ```
/// use linstab_coherence::GeneralisingSolution;
/// let solution = GeneralisingSolution { num_samples: 100, num_inputs: 99, num_features: 2 }.checked()?;
/// assert_eq!(solution.sample_sharpness(), 20.0);
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralisingSolution {
    /// Number of samples `n`.
    pub num_samples: usize,
    /// Number of inputs `d`.
    pub num_inputs: usize,
    /// Number of features `C` that the network tells apart.
    pub num_features: u32,
}

impl GeneralisingSolution {
    /// The solution, if there is such a one.
    ///
    /// # Errors
    /// [`CoherenceError::OutOfRange`] unless there are samples, and features are from 2 to the number of inputs and at most 60.
    pub fn checked(self) -> Result<Self> {
        let fits = usize::try_from(self.num_features).is_ok_and(|features| features <= self.num_inputs);
        if self.num_samples == 0 {
            return Err(CoherenceError::OutOfRange {
                name: "num_samples",
                value: 0.0,
                allowed: "at least 1",
            });
        }
        if !fits || !(2..=60).contains(&self.num_features) {
            let allowed = "2 to num_inputs, at most 60";
            let value = f64::from(self.num_features);
            return Err(CoherenceError::OutOfRange { name: "num_features", value, allowed });
        }
        Ok(self)
    }

    /// `q = 2 sqrt(d + 1)`, the sharpness of every sample.
    pub fn sample_sharpness(&self) -> f64 {
        2.0 * (self.num_inputs as f64 + 1.0).sqrt()
    }

    /// Probability `u = 2^-C` of a pattern.
    fn pattern_probability(&self) -> f64 {
        f64::from(self.num_features).exp2().recip()
    }

    /// A bound on `lambda_max(S)` that holds with probability at least `1 - delta`:
    /// `q (n 2^-C + sqrt(n (C + log(1/delta)) / 2))`.
    ///
    /// The paper's Theorem 3.5 drops the second term, which is of the size of the first unless `n` is well above `4^C`; without it the
    /// bound fails.
    ///
    /// # Errors
    /// [`CoherenceError::OutOfRange`] unless `0 < delta < 1`.
    /// # Examples
    /// ```
    /// use linstab_coherence::GeneralisingSolution;
    /// let solution = GeneralisingSolution { num_samples: 100, num_inputs: 99, num_features: 2 };
    /// let bound = solution.theorem_3_5(0.5)?;
    /// assert!((bound - 20.0 * (25.0 + (50.0 * (2.0 + 2.0_f64.ln())).sqrt())).abs() < 1e-12);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    /// # Source
    /// arXiv 2511.17378, Theorem 3.5 and eqs. (71) to (75).
    pub fn theorem_3_5(&self, delta: f64) -> Result<f64> {
        if !(delta > 0.0 && delta < 1.0) {
            return Err(CoherenceError::OutOfRange {
                name: "delta",
                value: delta,
                allowed: "above 0 and below 1",
            });
        }
        let n = self.num_samples as f64;
        let deviation = (0.5 * n * (f64::from(self.num_features) - delta.ln())).sqrt();
        Ok(self.sample_sharpness() * (n * self.pattern_probability() + deviation))
    }

    /// `E[N t]` over a pattern of `N` samples, `t = q (1 + c q N / n)` an entry of `S_SAM` in it: `q n u (1 + c q (u + (1 - u) / n))`.
    ///
    /// Exact if all gradients of a pattern coincide, as the paper takes them to; Theorem 3.6 states a lower bound of it as if it bounded
    /// `lambda_max(S_SAM)` with high probability, which it does not.
    ///
    /// # Examples
    /// ```
    /// use linstab_coherence::GeneralisingSolution;
    /// let solution = GeneralisingSolution { num_samples: 100, num_inputs: 100, num_features: 2 };
    /// assert!((solution.theorem_3_6(0.1) - 762.568_781).abs() < 1e-5);
    /// ```
    /// # Source
    /// arXiv 2511.17378, Theorem 3.6 and eqs. (76) to (78).
    pub fn theorem_3_6(&self, rho_over_alpha: f64) -> f64 {
        let (n, u, q) = (self.num_samples as f64, self.pattern_probability(), self.sample_sharpness());
        q * n * u * (1.0 + rho_over_alpha * q * (u + (1.0 - u) / n))
    }

    /// The paper's value `q (1 + c q 2^-C)` of the sharpness of a sample under SAM, as a mean over samples whose gradients coincide within a
    /// pattern; real gradients coincide less, so it is an estimate.
    ///
    /// # Examples
    /// ```
    /// use linstab_coherence::GeneralisingSolution;
    /// let solution = GeneralisingSolution { num_samples: 100, num_inputs: 100, num_features: 2 };
    /// assert!((solution.equation_79(0.1) - 30.2).abs() < 0.01);
    /// ```
    /// # Source
    /// arXiv 2511.17378, eq. (79).
    pub fn equation_79(&self, rho_over_alpha: f64) -> f64 {
        let q = self.sample_sharpness();
        q * (1.0 + rho_over_alpha * q * self.pattern_probability())
    }
}
