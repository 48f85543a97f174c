//! Numbers against what they were.

/// A number that should be where it was, and where it is.
///
/// # Examples
/// ```
/// use linstab_linalg::Comparison;
/// let moved = Comparison { name: "sharpness".to_owned(), expected: 2.0, found: 2.1, rtol: 1e-3 };
/// assert!(!moved.holds() && Comparison { rtol: 0.1, ..moved }.holds());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What it is.
    pub name: String,
    /// Its value before.
    pub expected: f64,
    /// Its value now; NaN if there is none any more.
    pub found: f64,
    /// Largest accepted relative difference.
    pub rtol: f64,
}

impl Comparison {
    /// Whether the number is where it was; what is not finite has to be the same.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::Comparison;
    /// let same = |expected, found| Comparison { name: String::new(), expected, found, rtol: 1e-6 }.holds();
    /// assert!(same(f64::INFINITY, f64::INFINITY) && !same(f64::INFINITY, 1e300) && !same(1.0, f64::NAN));
    /// ```
    pub fn holds(&self) -> bool {
        if self.expected.is_finite() {
            (self.found - self.expected).abs() <= self.rtol * self.expected.abs()
        } else {
            self.found.to_bits() == self.expected.to_bits()
        }
    }

    /// The difference over the size of the value before.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::Comparison;
    /// assert_eq!(Comparison { name: String::new(), expected: -2.0, found: -1.0, rtol: 0.0 }.relative_change(), 0.5);
    /// ```
    pub fn relative_change(&self) -> f64 {
        (self.found - self.expected) / self.expected.abs()
    }
}
