//! The trace inequality (40), and its counterexample in 1026 dimensions, exactly.
//!
//! The samples `e_1 + c e_{2+i}`, `i = 1 .. N`, one `v` and many copies of a faint `b`, `v` and `b` in the span of `e_1, e_2`, are
//! invariant under permutations of the N spread directions. So is every matrix that the recursions meet: a block of order 3 on
//! `e_1, e_2` and the normalised sum `s` of the spread directions, and a multiple of the identity beside it. With `sqrt(N)` an integer
//! everything is rational.

use super::claim::{Claim, Judgement, Verdict, require};
use super::counterexamples::Counterexample;
use super::divergence::ratio_of_noise_traces;
use super::rational::{BigRational, Matrix, integer, of_f64, power, to_f64};
use super::search::smallest;
use crate::Result;

/// The claim of this file.
pub(super) const CLAIMS: &[Claim] = &[Claim {
    ids: &["eq40", "eq29", "C.8.2"],
    statement: "tr M_k >= eta^(2k) (1/(Bn) - 1/n^2)^k (1 + (rho/alpha) lambda_min)^(2k) times the sum of the traces of all words of SGD.",
    correction: "True for k = 1 and 2; false from k = 3 on. The asymptotic rate that it implies is right.",
    assumptions: "Bernoulli sampling",
    refuted_by: "",
    expected: Verdict::Refuted,
    constant: 1.0,
    wrong_constant: Some(0.9),
    check: |setting, factor| {
        let example = Counterexample::load("eq40")?;
        let spread = Spread::load(&example)?;
        let (mut text, mut broken) = (String::new(), false);
        for (k, ratio) in (1..).zip(spread.decoupled(&example.number("decoupled")?, 4)) {
            example.confirm_near(&format!("decoupled_{k}"), to_f64(&ratio))?;
        }
        for (k, ratio) in (1..).zip(spread.coupled(&example, 5)?) {
            // Without the factor of the smallest eigenvalue of A, which is at least 1, the bound is weaker still.
            broken |= ratio < of_f64(factor);
            let value = to_f64(&ratio);
            text = format!("{text} {value:.7}");
            example.confirm_near(&format!("coupled_{k}"), value)?;
        }
        let small = smallest(setting.key, setting.budget(), |x| {
            ratio_of_noise_traces(x, 1).min(ratio_of_noise_traces(x, 2))
        });
        let later = smallest(setting.key.text("k = 3"), setting.budget(), |x| ratio_of_noise_traces(x, 3));
        require("eq40", "the bound for k = 1 and 2", small.is_unbroken(), small)?;
        let verdict = Verdict::holds_if(!broken);
        Ok(Judgement::new(
            verdict,
            format!(
                "d = 1026, n = 10^12 + 1025, B = 1, in fractions: tr M_k over the bound (with 1 for the smallest eigenvalue of A) at k = 1 to 5 is{text}; k = 1, 2: {small}; k = 3 in small dimensions: {later}"
            ),
        ))
    },
}];

/// A matrix that is invariant under permutations of the spread directions.
#[derive(Clone, Debug)]
struct Invariant {
    /// On `e_1, e_2, s`.
    block: Matrix,
    /// The multiple of the identity on the rest of the spread directions.
    rest: BigRational,
}

impl Invariant {
    fn identity() -> Self {
        Self { block: Matrix::identity(3), rest: integer(1) }
    }

    fn times(&self, other: &Self) -> Self {
        Self { block: &self.block * &other.block, rest: &self.rest * &other.rest }
    }

    fn plus(&self, other: &Self) -> Self {
        Self { block: &self.block + &other.block, rest: &self.rest + &other.rest }
    }

    fn scaled(&self, factor: &BigRational) -> Self {
        Self { block: self.block.scaled(factor), rest: &self.rest * factor }
    }
}

/// The ensemble.
struct Spread {
    num: BigRational,
    root: BigRational,
    reach: BigRational,
    v: [BigRational; 2],
    b: [BigRational; 2],
    /// Squared norm of the faint samples times their number, and times it once more: weights of `bb'` in sum and sandwich.
    faint: (BigRational, BigRational),
}

impl Spread {
    fn load(example: &Counterexample) -> Result<Self> {
        let number = |key: &str| example.number(key);
        let (copies, faint) = (number("copies")?, number("faint")?);
        Ok(Self {
            num: number("num_spread")?,
            root: number("root_of_num_spread")?,
            reach: number("spread")?,
            v: [number("v1")?, number("v2")?],
            b: [number("b1")?, number("b2")?],
            faint: (&copies * &faint, &copies * &faint * &faint),
        })
    }

    /// `xx'` of a vector in the span of `e_1, e_2`.
    fn outer(x: &[BigRational; 2]) -> Invariant {
        let entry = |i: usize, j: usize| if i < 2 && j < 2 { &x[i] * &x[j] } else { integer(0) };
        Invariant { block: Matrix::from_fn(3, entry), rest: integer(0) }
    }

    /// `x'Mx` of a vector in the span of `e_1, e_2`.
    fn form(x: &[BigRational; 2], m: &Invariant) -> BigRational {
        let pairs = (0..2).flat_map(|i| (0..2).map(move |j| (i, j)));
        pairs.fold(integer(0), |sum, (i, j)| sum + &x[i] * m.block.at(i, j) * &x[j])
    }

    /// `sum_i u_i u_i'` of the spread samples.
    fn sum_of_spread(&self) -> Invariant {
        let square = &self.reach * &self.reach;
        let block = Matrix::from_fn(3, |i, j| match (i, j) {
            (0, 0) => self.num.clone(),
            (0, 2) | (2, 0) => &self.reach * &self.root,
            (2, 2) => square.clone(),
            _ => integer(0),
        });
        Invariant { block, rest: square.clone() }
    }

    /// `u_i'Mu_i`, the same for all spread samples.
    fn form_of_spread(&self, m: &Invariant) -> BigRational {
        let own = (m.block.at(2, 2) + &m.rest * (&self.num - integer(1))) / &self.num;
        m.block.at(0, 0)
            + integer(2) * &self.reach * m.block.at(0, 2) / &self.root
            + &self.reach * &self.reach * own
    }

    /// Sum of all curvatures.
    fn sum(&self) -> Invariant {
        self.sum_of_spread().plus(&Self::outer(&self.v)).plus(&Self::outer(&self.b).scaled(&self.faint.0))
    }

    /// `sum_i H_i X H_i`, with or without the faint samples.
    fn sandwiches(&self, x: &Invariant, with_faint: bool) -> Invariant {
        let sharp = self.sum_of_spread().scaled(&self.form_of_spread(x));
        let sharp = sharp.plus(&Self::outer(&self.v).scaled(&Self::form(&self.v, x)));
        if !with_faint {
            return sharp;
        }
        sharp.plus(&Self::outer(&self.b).scaled(&(&self.faint.1 * Self::form(&self.b, x))))
    }

    fn trace(&self, m: &Invariant) -> BigRational {
        m.block.trace() + &m.rest * (&self.num - integer(1))
    }

    /// Traces of `N_k` for `A = I + t bb'`, without the faint samples, over those for `A = I`.
    fn decoupled(&self, t: &BigRational, num_steps: usize) -> Vec<BigRational> {
        let ascent = Invariant::identity().plus(&Self::outer(&self.b).scaled(t));
        let (mut sam, mut sgd) = (Invariant::identity(), Invariant::identity());
        let mut ratios = Vec::new();
        for _ in 0..num_steps {
            sam = ascent.times(&self.sandwiches(&sam, false)).times(&ascent);
            sgd = self.sandwiches(&sgd, false);
            ratios.push(self.trace(&sam) / self.trace(&sgd));
        }
        ratios
    }

    /// `tr M_k` of SAM over `(eta^2 c_0)^k` times the trace of SGD's words, which the bound has times a factor of at least 1.
    fn coupled(&self, example: &Counterexample, num_steps: usize) -> Result<Vec<BigRational>> {
        // A faint sample is `faint * bb'`.
        let n = &self.num + integer(1) + example.number("copies")?;
        let (rate, ratio) = (example.number("learning_rate")?, example.number("ratio")?);
        let mean = self.sum().scaled(&n.recip());
        let ascent = Invariant::identity().plus(&mean.scaled(&ratio));
        let jacobian = Invariant::identity().plus(&mean.times(&ascent).scaled(&-&rate));
        let weight = &rate * &rate * (n.recip() - power(&n, -2));
        let (mut sam, mut sgd, mut deterministic) =
            (Invariant::identity(), Invariant::identity(), Invariant::identity());
        let mut ratios = Vec::new();
        for _ in 0..num_steps {
            sam = ascent.times(&self.sandwiches(&sam, true)).times(&ascent).scaled(&weight);
            sgd = self.sandwiches(&sgd, true).scaled(&weight);
            deterministic = jacobian.times(&deterministic).times(&jacobian);
            ratios.push((self.trace(&sam) + self.trace(&deterministic)) / self.trace(&sgd));
        }
        Ok(ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rational::{Matrix, fraction, mean, sandwiches};
    use super::*;

    /// The invariant algebra against full matrices of fractions, with four spread directions and two faint samples.
    #[test]
    fn the_reduction_is_exact() {
        let spread = Spread {
            num: integer(4),
            root: integer(2),
            reach: integer(6),
            v: [integer(8), integer(4)],
            b: [integer(1), integer(-4)],
            faint: (integer(2) * fraction(1, 5), integer(2) * fraction(1, 25)),
        };
        let outer =
            |x: Vec<i64>, scale: BigRational| Matrix::from_fn(6, |i, j| integer(x[i] * x[j]) * &scale);
        let mut hessians: Vec<Matrix> = (0..4)
            .map(|i| {
                let mut u = vec![1, 0, 0, 0, 0, 0];
                u[2 + i] = 6;
                outer(u, integer(1))
            })
            .collect();
        hessians.push(outer(vec![8, 4, 0, 0, 0, 0], integer(1)));
        for _ in 0..2 {
            hessians.push(outer(vec![1, -4, 0, 0, 0, 0], fraction(1, 5)));
        }
        let full_mean = mean(&hessians);
        assert_eq!(spread.trace(&spread.sum()) / integer(7), full_mean.trace());
        let full_ascent = &Matrix::identity(6) + &full_mean;
        let ascent = Invariant::identity().plus(&spread.sum().scaled(&fraction(1, 7)));
        let (mut full, mut small) = (Matrix::identity(6), Invariant::identity());
        for k in 1..=3 {
            full = &(&full_ascent * &sandwiches(&hessians, &full)) * &full_ascent;
            small = ascent.times(&spread.sandwiches(&small, true)).times(&ascent);
            assert_eq!(spread.trace(&small), full.trace(), "k = {k}");
        }
    }
}
