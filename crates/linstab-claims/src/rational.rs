//! Fractions and small matrices of fractions, exact: what a counterexample is checked in.

use std::ops::{Add, Mul, Sub};

use num_bigint::BigInt;
pub(super) use num_rational::BigRational;

/// The fraction `numerator / denominator`.
pub(super) fn fraction(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(BigInt::from(numerator), BigInt::from(denominator))
}

/// An integer.
pub(super) fn integer(value: i64) -> BigRational {
    fraction(value, 1)
}

/// Reads `3`, `-3/4`, `0.65` or `1e-7`; `None` if the text is none of these.
pub(super) fn parse(text: &str) -> Option<BigRational> {
    if let Some((numerator, denominator)) = text.split_once('/') {
        let (numerator, denominator) = (parse(numerator.trim())?, parse(denominator.trim())?);
        return (denominator != integer(0)).then(|| numerator / denominator);
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: BigInt = format!("{whole}{decimals}").parse().ok()?;
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(decimals.len()).ok()?)?;
    // A power beyond this is a slip of the pen, and would fill the memory.
    (exponent.abs() <= 1000).then(|| BigRational::from(digits) * power(&integer(10), exponent))
}

/// `base^exponent`; a negative exponent needs a base that is not zero.
pub(super) fn power(base: &BigRational, exponent: i32) -> BigRational {
    let magnitude = (0..exponent.unsigned_abs()).fold(integer(1), |product, _| product * base);
    if exponent < 0 { magnitude.recip() } else { magnitude }
}

/// The nearest floating-point number, or infinity.
pub(super) fn to_f64(value: &BigRational) -> f64 {
    // Both parts can be beyond the range of floating-point numbers while their ratio is not: shift them by the same bits.
    let excess = value.numer().bits().min(value.denom().bits()).saturating_sub(200);
    let scaled = |part: &BigInt| (part >> excess).to_string().parse::<f64>().unwrap_or(f64::NAN);
    scaled(value.numer()) / scaled(value.denom())
}

/// A floating-point number as the fraction it is; zero for one that is not finite.
pub(super) fn of_f64(value: f64) -> BigRational {
    BigRational::from_float(value).unwrap_or_else(|| integer(0))
}

/// A square matrix of fractions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    dim: usize,
    entries: Vec<BigRational>,
}

impl Matrix {
    /// The matrix with these entries.
    pub(super) fn from_fn(dim: usize, mut entry: impl FnMut(usize, usize) -> BigRational) -> Self {
        let entries = (0..dim * dim).map(|at| entry(at / dim, at % dim)).collect();
        Self { dim, entries }
    }

    /// The matrix with these rows; `None` if they are not square or not fractions.
    pub(super) fn parse(rows: &[Vec<String>]) -> Option<Self> {
        let dim = rows.len();
        if rows.iter().any(|row| row.len() != dim) {
            return None;
        }
        let entries = rows.iter().flatten().map(|text| parse(text)).collect::<Option<Vec<_>>>()?;
        Some(Self { dim, entries })
    }

    /// The identity.
    pub(super) fn identity(dim: usize) -> Self {
        Self::from_fn(dim, |i, j| integer(i64::from(i == j)))
    }

    /// Its order.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// One entry.
    pub(super) fn at(&self, row: usize, column: usize) -> &BigRational {
        &self.entries[row * self.dim + column]
    }

    /// The matrix times a number.
    pub(super) fn scaled(&self, factor: &BigRational) -> Self {
        Self { dim: self.dim, entries: self.entries.iter().map(|entry| entry * factor).collect() }
    }

    /// Sum of the diagonal.
    pub(super) fn trace(&self) -> BigRational {
        (0..self.dim).fold(integer(0), |sum, i| sum + self.at(i, i))
    }

    /// Sum of the squares of the entries.
    pub(super) fn squared_norm(&self) -> BigRational {
        self.entries.iter().fold(integer(0), |sum, entry| sum + entry * entry)
    }

    /// Determinant of order 2, `None` for others.
    pub(super) fn determinant(&self) -> Option<BigRational> {
        (self.dim == 2).then(|| self.at(0, 0) * self.at(1, 1) - self.at(0, 1) * self.at(1, 0))
    }

    /// Whether a symmetric matrix of order 1 or 2 is positive semidefinite; `None` for others.
    pub(super) fn is_positive(&self) -> Option<bool> {
        let zero = integer(0);
        match self.dim {
            1 => Some(*self.at(0, 0) >= zero),
            2 => Some(self.trace() >= zero && self.determinant()? >= zero),
            _ => None,
        }
    }
}

impl Mul for &Matrix {
    type Output = Matrix;

    fn mul(self, other: Self) -> Matrix {
        Matrix::from_fn(self.dim, |i, j| {
            (0..self.dim).fold(integer(0), |sum, k| sum + self.at(i, k) * other.at(k, j))
        })
    }
}

impl Add for &Matrix {
    type Output = Matrix;

    fn add(self, other: Self) -> Matrix {
        Matrix::from_fn(self.dim, |i, j| self.at(i, j) + other.at(i, j))
    }
}

impl Sub for &Matrix {
    type Output = Matrix;

    fn sub(self, other: Self) -> Matrix {
        Matrix::from_fn(self.dim, |i, j| self.at(i, j) - other.at(i, j))
    }
}

/// `sum_i H_i X H_i`.
pub(super) fn sandwiches(hessians: &[Matrix], x: &Matrix) -> Matrix {
    let zero = Matrix::from_fn(x.dim, |_, _| integer(0));
    hessians.iter().fold(zero, |sum, h| &sum + &(&(h * x) * h))
}

/// Mean of the matrices.
pub(super) fn mean(hessians: &[Matrix]) -> Matrix {
    let zero = Matrix::from_fn(hessians.first().map_or(0, Matrix::dim), |_, _| integer(0));
    let count = i64::try_from(hessians.len()).unwrap_or(i64::MAX);
    hessians.iter().fold(zero, |sum, h| &sum + h).scaled(&fraction(1, count.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        for (text, expected) in [
            ("3", integer(3)),
            ("-3/4", fraction(-3, 4)),
            ("0.65", fraction(13, 20)),
            ("-0.5", fraction(-1, 2)),
            ("1e-7", fraction(1, 10_000_000)),
            ("2.5e2", integer(250)),
            ("1e3/4", integer(250)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "x", "1/0", "1//2", "1e99999", "0x1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_rounded_or_overflows() {
        let third = fraction(1, 3);
        assert_eq!(&third + &third + &third, integer(1));
        let large = power(&integer(7), 200);
        assert_eq!(&large * &power(&integer(7), -200), integer(1));
        assert!(
            to_f64(&large).is_finite() && (to_f64(&large).log(7.0) - 200.0).abs() < 1e-9,
            "{}",
            to_f64(&large)
        );
        // 7^1000 is beyond the range of floating-point numbers, this ratio is not.
        let ratio = power(&integer(7), 1000) / (power(&integer(7), 1000) * integer(2));
        assert!((to_f64(&ratio) - 0.5).abs() < 1e-15, "{ratio}");
        assert!((to_f64(&fraction(-1, 3)) + 1.0 / 3.0).abs() < 1e-16);
        assert!((to_f64(&of_f64(0.1)) - 0.1).abs() < 1e-17 && of_f64(0.1) != fraction(1, 10));
    }

    #[test]
    fn matrices_by_hand() {
        let rows = |rows: [[&str; 2]; 2]| {
            Matrix::parse(&rows.map(|row| row.map(str::to_owned).to_vec())).expect("square")
        };
        let (a, b) = (rows([["1", "2"], ["3", "4"]]), rows([["0", "1"], ["1", "0"]]));
        assert_eq!(&a * &b, rows([["2", "1"], ["4", "3"]]));
        assert_eq!(a.determinant(), Some(integer(-2)));
        assert_eq!((a.trace(), b.is_positive()), (integer(5), Some(false)));
        assert_eq!(rows([["1", "1"], ["1", "1"]]).is_positive(), Some(true));
        assert_eq!(mean(&[a.clone(), b.clone()]), rows([["1/2", "3/2"], ["2", "2"]]));
        assert_eq!(sandwiches(std::slice::from_ref(&b), &a), rows([["4", "3"], ["2", "1"]]));
        assert!(Matrix::parse(&[vec!["1".to_owned()], vec![]]).is_none(), "not square");
    }
}
