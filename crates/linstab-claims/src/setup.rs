//! Definitions and lemmas: sampling, the set-up of the simulations, the identities that the proofs use.

use super::numbers::binomial;
use linstab_linalg::{Mat, Scale, symmetric};
use rand::RngExt;

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::counterexamples::Counterexample;
use super::instance::{identity, sandwiches, top, trace, trace_of_product};
use super::numbers::ROUNDING;
use super::numbers::normal;
use super::rational::{BigRational, Matrix, fraction, integer, of_f64};
use super::search::{readable, smallest};

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["C.3-setup"],
        statement: "The simulated loss (1/n) sum_i w'H_i w puts the simulations into the setting of the theory, whose step is w - eta H_t w.",
        correction: "Its gradient is (2/n) sum_i H_i w: the simulated curvature is 2 H, so eta has to be replaced by 2 eta (or the loss halved).",
        assumptions: "gradient descent on the loss as printed",
        refuted_by: "an ensemble whose printed loss has the gradient H w",
        expected: Verdict::HoldsAfterCorrection,
        constant: 2.0,
        wrong_constant: Some(1.0),
        check: |_, factor| {
            let (theory, factor) = (simulated_step(1.0), simulated_step(factor));
            let verdict = Verdict::corrected(theory.agrees, factor.agrees);
            Ok(Judgement::new(
                verdict,
                format!(
                    "three samples in two dimensions, eta = 3/4, in fractions: the gradient of the printed loss takes w = (3, -2) to {}, the theory with H to {}, with the factor of the correction to {}",
                    theory.simulated, theory.predicted, factor.predicted
                ),
            ))
        },
    },
    Claim {
        ids: &["eq10", "eq33"],
        statement: "E[H_t X H_t] = H X H + (1/(Bn) - 1/n^2) sum_i H_i X H_i for every X, in particular for the identity.",
        correction: "",
        assumptions: "Bernoulli sampling with divisor B; batches of fixed size have other weights",
        refuted_by: "an ensemble whose enumerated second moment differs",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.5),
        check: |setting, factor| Ok(second_moment(setting, factor)),
    },
    Claim {
        ids: &["lemC1"],
        statement: "lambda_max(A) tr B >= tr AB >= lambda_min(A) tr B for a positive semidefinite A.",
        correction: "B has to be symmetric and positive semidefinite, too.",
        assumptions: "real square matrices",
        refuted_by: "a pair of positive semidefinite matrices outside of the bounds",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: |setting, factor| {
            let example = Counterexample::load("lemC1")?;
            let hessians = example.hessians()?;
            let (bound, value) = (hessians[1].trace(), (&hessians[0] * &hessians[1]).trace());
            example.confirm("bound", &bound)?;
            example.confirm("trace", &value)?;
            let found = smallest(setting.key, setting.budget(), |x| {
                let (a, b) = (&x.hessians[0], &x.hessians[1]);
                let value = trace_of_product(a, b);
                let upper = factor * top(a.as_ref()) * trace(b) / value;
                let least = super::instance::bottom(a.as_ref()).max(0.0);
                // The smallest eigenvalue is known to within rounding of the largest.
                let lower = (value + 1e-13 * trace(a) * trace(b)) / (least * trace(b) * factor);
                upper.min(lower)
            });
            let verdict = Verdict::corrected(bound >= value, found.is_unbroken());
            Ok(Judgement::new(
                verdict,
                format!(
                    "A = diag(1, 0), B = -I: lambda_max(A) tr B = {bound} < tr AB = {value}; with B positive: {found}"
                ),
            ))
        },
    },
    Claim {
        ids: &["lemC2"],
        statement: "The trace of a product of three matrices is invariant under cyclic shifts.",
        correction: "",
        assumptions: "compatible shapes with square product; a transposition is no cyclic shift",
        refuted_by: "three matrices with tr ABC and tr BCA apart by more than rounding",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(1.01),
        check: |setting, factor| {
            let worst = matrices(setting, 3, |m| {
                let product = trace_of_product(&(&m[0] * &m[1]), &m[2]);
                let shifted = trace_of_product(&(&m[1] * &m[2]), &m[0]);
                (product - factor * shifted).abs() / (m[0].norm_l2() * m[1].norm_l2() * m[2].norm_l2())
            });
            Ok(Judgement::new(
                Verdict::holds_if(worst < 1e-12),
                format!("largest relative difference {worst:.1e} over {NUM} triples of order 1 to 5"),
            ))
        },
    },
    Claim {
        ids: &["lemC3"],
        statement: "|x|_2 <= |x|_1 <= sqrt(d) |x|_2 for a number x.",
        correction: "What is used is the same for vectors of singular values in R^d; that is true, too.",
        assumptions: "d >= 1",
        refuted_by: "a number or vector outside of the bounds",
        expected: Verdict::Holds,
        constant: 0.5,
        wrong_constant: Some(0.25),
        check: |setting, exponent| {
            let mut rng = setting.key.generator();
            let (mut vectors, mut numbers) = (f64::INFINITY, f64::INFINITY);
            for index in 0..NUM {
                let dim = 1 + index % 8;
                let root = (dim as f64).powf(exponent);
                // The vector of ones, where the right inequality is tight, is among them.
                let x: Vec<f64> = (0..dim).map(|_| if index < 16 { 1.0 } else { normal(&mut rng) }).collect();
                let slack = |x: &[f64]| {
                    let one: f64 = x.iter().map(|x| x.abs()).sum();
                    let two = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                    (one / two).min(root * two / one)
                };
                vectors = vectors.min(slack(&x));
                numbers = numbers.min(slack(&x[..1]));
            }
            let holds = numbers.min(vectors) >= 1.0 - ROUNDING;
            Ok(Judgement::new(
                Verdict::holds_if(holds),
                format!(
                    "smallest slack over {NUM} of each: numbers {}, vectors of length 1 to 8 {}",
                    readable(numbers),
                    readable(vectors)
                ),
            ))
        },
    },
    Claim {
        ids: &["lemC4"],
        statement: "Pascal's rule: C(n, k) = C(n-1, k-1) + C(n-1, k).",
        correction: "",
        assumptions: "1 <= k <= n, and coefficients outside of the triangle are 0",
        refuted_by: "a pair n, k",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(2.0),
        check: |_, factor| {
            let holds = (1_u32..=60).all(|n| {
                (1..=n)
                    .all(|k| binomial(n, k) == binomial(n - 1, k - 1) + of_f64(factor) * binomial(n - 1, k))
            });
            Ok(Judgement::new(Verdict::holds_if(holds), "all k <= n <= 60, in integers"))
        },
    },
    Claim {
        ids: &["lemC5"],
        statement: "|M|_F <= |M|_S1 <= sqrt(n) |M|_F for the Schatten-1 norm.",
        correction: "",
        assumptions: "real n x n matrices",
        refuted_by: "a matrix outside of the bounds",
        expected: Verdict::Holds,
        constant: 0.5,
        wrong_constant: Some(0.25),
        check: |setting, exponent| {
            let worst = matrices(setting, 1, |m| {
                let (frobenius, nuclear) = (m[0].norm_l2(), nuclear_norm(&m[0]));
                (frobenius / nuclear).max(nuclear / (frobenius * (m[0].nrows() as f64).powf(exponent))).max(
                    // The identity is where the second is tight.
                    (m[0].nrows() as f64).powf(0.5 - exponent),
                )
            });
            Ok(Judgement::new(
                Verdict::holds_if(worst <= 1.0 + ROUNDING),
                format!(
                    "largest (smaller side) / (larger side) {worst:.12} over {NUM} matrices of order 1 to 5 and the identities"
                ),
            ))
        },
    },
    Claim {
        ids: &["lemC6"],
        statement: "tr(M_1 .. M_k) <= |M_1 .. M_k|_S1.",
        correction: "",
        assumptions: "real square matrices; true of the absolute value as well",
        refuted_by: "a product whose trace exceeds its Schatten-1 norm",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.5),
        check: |setting, factor| {
            let worst = matrices(setting, 3, |m| {
                let product = &m[0] * &m[1] * &m[2];
                trace(&product).abs() / (factor * nuclear_norm(&product))
            });
            Ok(Judgement::new(
                Verdict::holds_if(worst <= 1.0 + 1e-6),
                format!(
                    "largest |trace| / norm {worst:.9} over {NUM} products of three matrices of order 1 to 5"
                ),
            ))
        },
    },
];

const NUM: usize = 2000;

/// A step of gradient descent on the printed loss, and the theory's with `factor * H`.
struct Step {
    simulated: String,
    predicted: String,
    agrees: bool,
}

fn simulated_step(factor: f64) -> Step {
    let entries = [[[2, 1], [1, 3]], [[1, 0], [0, 0]], [[4, -2], [-2, 1]]];
    let hessians = entries.map(|h: [[i64; 2]; 2]| Matrix::from_fn(2, |i, j| integer(h[i][j])));
    let loss = |w: &[BigRational; 2]| {
        let form = |h: &Matrix| {
            let pairs = (0..2).flat_map(|i| (0..2).map(move |j| (i, j)));
            pairs.fold(integer(0), |sum, (i, j)| sum + &w[i] * h.at(i, j) * &w[j])
        };
        hessians.iter().fold(integer(0), |sum, h| sum + form(h)) / integer(3)
    };
    let (start, rate) = ([integer(3), integer(-2)], fraction(3, 4));
    let mean = super::rational::mean(&hessians);
    let shifted = |at: usize, by: i64| {
        let mut w = start.clone();
        w[at] += integer(by);
        w
    };
    // The loss is of second order: central differences are exact.
    let simulated = [0, 1].map(|at| {
        let slope = (loss(&shifted(at, 1)) - loss(&shifted(at, -1))) / integer(2);
        &start[at] - &rate * slope
    });
    let predicted = [0, 1].map(|at| {
        let product = mean.at(at, 0) * &start[0] + mean.at(at, 1) * &start[1];
        &start[at] - of_f64(factor) * &rate * product
    });
    let text = |w: &[BigRational; 2]| format!("({}, {})", w[0], w[1]);
    Step { simulated: text(&simulated), predicted: text(&predicted), agrees: simulated == predicted }
}

/// The largest of a quantity over random matrices, so many at a time, of order 1 to 5.
fn matrices(setting: &Setting<'_>, count: usize, quantity: impl Fn(&[Mat<f64>]) -> f64) -> f64 {
    let mut rng = setting.key.generator();
    let mut worst = 0.0_f64;
    for index in 0..NUM {
        let dim = 1 + index % 5;
        let draw = |_| Mat::from_fn(dim, dim, |_, _| normal(&mut rng));
        let drawn: Vec<Mat<f64>> = (0..count).map(draw).collect();
        worst = worst.max(quantity(&drawn));
    }
    worst
}

/// Sum of the singular values.
///
/// They are the absolute eigenvalues, twice, of `[[0, m], [m^T, 0]]`: roots of the eigenvalues of `m^T m` would be wrong by
/// the root of a rounding where they are small.
pub(super) fn nuclear_norm(m: &Mat<f64>) -> f64 {
    let (rows, order) = (m.nrows(), m.nrows() + m.ncols());
    let both = Mat::from_fn(order, order, |i, j| match (i < rows, j < rows) {
        (true, false) => m[(i, j - rows)],
        (false, true) => m[(j, i - rows)],
        _ => 0.0,
    });
    symmetric::eigenvalues(both.as_ref()).unwrap_or_default().iter().map(|x| x.abs()).sum::<f64>() / 2.0
}

/// The second moment of a batch by enumeration of all subsets.
fn second_moment(setting: &Setting<'_>, factor: f64) -> Judgement {
    let mut worst = 0.0_f64;
    let mut num = 0;
    for index in 0..200 {
        let mut rng = setting.key.number(index).generator();
        let mut shape = super::instance::Shape::random(&mut rng);
        (shape.num_samples, shape.batch_size) = (shape.num_samples.min(5), shape.batch_size.min(4));
        let Some(x) = super::instance::Instance::new(shape, &shape.random_parameters(&mut rng)) else {
            continue;
        };
        let dim = shape.dim;
        let probe = if index % 2 == 0 {
            identity(dim)
        } else {
            Mat::from_fn(dim, dim, |_, _| rng.random_range(-1.0..1.0))
        };
        let (n, b) = (shape.num_samples, shape.batch_size as f64);
        let p = b / x.n();
        let mut exact = Mat::zeros(dim, dim);
        for mask in 0_usize..1 << n {
            let drawn = (0..n).filter(|i| mask >> i & 1 == 1);
            let size = i32::try_from(mask.count_ones()).unwrap_or(0);
            let probability = p.powi(size) * (1.0 - p).powi(i32::try_from(n).unwrap_or(0) - size);
            let batch =
                drawn.fold(Mat::zeros(dim, dim), |sum: Mat<f64>, i| sum + &x.hessians[i]) * Scale(1.0 / b);
            exact += &batch * &probe * &batch * Scale(probability);
        }
        let weight = 1.0 / (b * x.n()) - factor / (x.n() * x.n());
        let formula = &x.mean * &probe * &x.mean + sandwiches(&x.hessians, &probe) * Scale(weight);
        worst = worst.max((&exact - formula).norm_max() / exact.norm_max());
        num += 1;
    }
    let verdict = Verdict::holds_if(worst < 1e-12);
    Judgement::new(
        verdict,
        format!("largest relative error {worst:.1e} against all 2^n subsets, {num} ensembles, n <= 5"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small singular value counts, to a rounding of the largest.
    #[test]
    fn nuclear_norms_hold_small_singular_values() {
        for small in [0.0, 1e-12, 1e-9, 0.3] {
            // diag(1, small) between two rotations.
            let rotation = |angle: f64| {
                let (sin, cos) = angle.sin_cos();
                Mat::from_fn(2, 2, |i, j| [[cos, -sin], [sin, cos]][i][j])
            };
            let values = Mat::from_fn(2, 2, |i, j| if i == j { [1.0, small][i] } else { 0.0 });
            let found = nuclear_norm(&(rotation(0.4) * values * rotation(1.1)));
            assert!((found - 1.0 - small).abs() < 2e-15, "{small}: {found}");
        }
    }
}
