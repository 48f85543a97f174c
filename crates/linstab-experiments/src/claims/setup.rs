//! Definitions and lemmas: sampling, the set-up of the simulations, the identities that the proofs use.

use linstab_linalg::{Mat, Scale, symmetric};
use rand::RngExt;

use super::claim::{Claim, Judgement, ROUNDING, Setting, Verdict};
use super::counterexamples::Counterexample;
use super::instance::{identity, sandwiches, top, trace, trace_of_product};
use super::rational::{fraction, integer, of_f64};
use super::search::{normal, smallest};

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["C.3-setup"],
        statement: "The simulated loss (1/n) sum_i w'H_i w puts the simulations into the setting of the theory, whose step is w - eta H_t w.",
        correction: "Its gradient is (2/n) sum_i H_i w: the simulated curvature is 2 H, so eta has to be replaced by 2 eta (or the loss halved).",
        assumptions: "gradient descent on the loss as printed, sharpness 2",
        refuted_by: "a learning rate between 1/2 and 1 at which the printed loss is descended stably",
        expected: Verdict::HoldsAfterCorrection,
        constant: 2.0,
        wrong_constant: Some(1.0),
        check: |_, factor| {
            // At sharpness 2 and learning rate 3/4 the gradient of the printed loss multiplies by 1 - 3/4 * 2 * 2.
            let simulated = integer(1) - fraction(3, 4) * integer(4);
            let of_theory = |factor: f64| integer(1) - of_f64(factor) * fraction(3, 4) * integer(2);
            let verdict = Verdict::corrected(simulated == of_theory(1.0), simulated == of_theory(factor));
            Ok(Judgement::new(
                verdict,
                format!(
                    "at eta = 3/4 the printed loss multiplies w by {simulated}, the theory with H by {}, with {factor} H by {}",
                    of_theory(1.0),
                    of_theory(factor)
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
            let broken = bound < value && example.is("bound", &bound)? && example.is("trace", &value)?;
            let found = smallest(setting.key, setting.budget(), |x| {
                let (a, b) = (&x.hessians[0], &x.hessians[1]);
                let value = trace_of_product(a, b);
                let upper = factor * top(a.as_ref()) * trace(b) / value;
                let least = super::instance::bottom(a.as_ref()).max(0.0);
                // The smallest eigenvalue is known to within rounding of the largest.
                let lower = (value + 1e-13 * trace(a) * trace(b)) / (least * trace(b) * factor);
                upper.min(lower)
            });
            let holds = found.slack >= 1.0 - ROUNDING;
            let verdict = Verdict::corrected(!broken, holds);
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
        correction: "For a vector x in R^d: for numbers d plays no part, and it is used for vectors of singular values.",
        assumptions: "none",
        refuted_by: "a vector outside of the bounds",
        expected: Verdict::HoldsAfterCorrection,
        constant: 0.5,
        wrong_constant: Some(0.25),
        check: |setting, exponent| {
            let mut rng = setting.key.generator();
            let (mut slack, mut printed) = (f64::INFINITY, true);
            for index in 0..NUM {
                let dim = 1 + index % 8;
                // The vector of ones, where the right inequality is tight, is among them.
                let x: Vec<f64> = (0..dim).map(|_| if index < 16 { 1.0 } else { normal(&mut rng) }).collect();
                let (one, two) =
                    (x.iter().map(|x| x.abs()).sum::<f64>(), x.iter().map(|x| x * x).sum::<f64>().sqrt());
                slack = slack.min(one / two).min((dim as f64).powf(exponent) * two / one);
                // As printed, for elements of R, the factor is that of d = 1.
                printed &= one <= two * (1.0 + ROUNDING);
            }
            let verdict = Verdict::corrected(printed, slack >= 1.0 - ROUNDING);
            Ok(Judgement::new(
                verdict,
                format!(
                    "vectors of length 1 to 8: smallest slack {slack:.9} over {NUM}; with the constant of R (d = 1) vectors break it"
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
                (1..=n).all(|k| {
                    super::convergence::binomial(n, k)
                        == super::convergence::binomial(n - 1, k - 1)
                            + of_f64(factor) * super::convergence::binomial(n - 1, k)
                })
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
pub(super) fn nuclear_norm(m: &Mat<f64>) -> f64 {
    let values = symmetric::eigenvalues((m.transpose() * m).as_ref()).unwrap_or_default();
    values.iter().map(|x| x.max(0.0).sqrt()).sum()
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
