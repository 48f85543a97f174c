//! Two-layer ReLU networks: the worked example, gradients, and when coherence matrices are diagonal.

use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Curvature, SquaredLoss, TwoLayer, solutions};

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::counterexamples::Counterexample;
use super::numbers::ROUNDING;
use super::numbers::normal;
use super::rational::{BigRational, integer, of_f64};
use crate::Result;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["eq6", "eq7"],
        statement: "The worked example (d = 5, C = 3, r = 1, 10 units) has the printed hidden and output weights.",
        correction: "",
        assumptions: "unit 1 + sum_i a_i 2^(i-1) for the signs (-1)^a",
        refuted_by: "a row or label that the formula does not give",
        expected: Verdict::Holds,
        constant: 3.0,
        wrong_constant: Some(2.0),
        check: |_, features| {
            let num_features = if features > 2.5 { 3 } else { 2 };
            let network = solutions::generalising(5, 10, num_features, 1.0)?;
            let rows = network.hidden_weights().chunks_exact(5);
            let as_printed = rows
                .zip(PRINTED_ROWS)
                .all(|(row, printed)| row.iter().zip(printed).all(|(a, b)| (a - f64::from(b)).abs() < 0.5));
            let labels = network
                .output_weights()
                .iter()
                .zip(PRINTED_LABELS)
                .all(|(a, b)| (a - f64::from(b)).abs() < 0.5);
            Ok(Judgement::new(Verdict::holds_if(as_printed && labels), "all 10 rows and labels compared"))
        },
    },
    Claim {
        ids: &["eq8"],
        statement: "The worked example (d = 5, C = 3, r = 1) has biases +2.",
        correction: "-2 = -r (C - 1): only then does exactly one unit fire.",
        assumptions: "",
        refuted_by: "",
        expected: Verdict::Refuted,
        constant: 1.0,
        wrong_constant: Some(-1.0),
        check: bias_sign,
    },
    Claim {
        ids: &["C.1-text"],
        statement: "The rows k > C of the hidden layer are zero.",
        correction: "The rows k > 2^C are.",
        assumptions: "",
        refuted_by: "a solution with another first zero row",
        expected: Verdict::HoldsAfterCorrection,
        constant: 2.0,
        wrong_constant: Some(3.0),
        check: |_, base| {
            let (mut printed, mut corrected) = (true, true);
            for c in 2..=5_usize {
                let network = solutions::generalising(6, 300, c, 1.0)?;
                let rows: Vec<bool> = network
                    .hidden_weights()
                    .chunks_exact(6)
                    .map(|row| row.iter().all(|w| w.abs() < 0.5))
                    .collect();
                let first_zero = rows.iter().position(|&zero| zero).unwrap_or(rows.len());
                printed &= first_zero == c;
                corrected &= (first_zero as f64 - base.powi(i32::try_from(c).unwrap_or(0))).abs() < 0.5;
            }
            Ok(Judgement::new(
                Verdict::corrected(printed, corrected),
                "C = 2 to 5: the first zero row is 2^C + 1",
            ))
        },
    },
    Claim {
        ids: &["eq9", "eq68"],
        statement: "The gradient of the network has the entries ReLU(W_j x), W2_j 1[W_j x > 0] x and W2_j 1[W_j x > 0].",
        correction: "The bias is missing inside of ReLU and indicators: W_j x + b_j.",
        assumptions: "away from kinks",
        refuted_by: "a network for which central differences disagree",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(0.5),
        check: gradient,
    },
    Claim {
        ids: &["C.1-norm"],
        statement: "At a (C, r) solution the squared gradient of every sample is r^2 + (d + 1)/r^2.",
        correction: "Its minimum is 2 sqrt(d + 1), at r = (d + 1)^(1/4).",
        assumptions: "the bias with the corrected sign",
        refuted_by: "a solution with another norm",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.0),
        check: |setting, one| {
            let (mut worst, mut num) = (0.0_f64, 0);
            for (d, c, r) in [(5_usize, 3, 1.0), (10, 2, 0.7), (20, 4, 2.5), (100, 5, 3.0)] {
                let data = parity::draw(
                    30,
                    d,
                    Redundancy::Independent,
                    &mut setting.key.number(d as u64).generator(),
                )?;
                let network = solutions::generalising(d, 32, c, r)?;
                let curvature = Curvature::at(&network, &data, SquaredLoss::Half)?;
                let gram = curvature.gradient_gram();
                let formula = r * r + (d as f64 + one) / (r * r);
                worst = (0..30).map(|i| (gram[(i, i)] / formula - 1.0).abs()).fold(worst, f64::max);
                num += 30;
            }
            let (d, best) = (100.0_f64, solutions::optimal_scale(100));
            let minimum = best * best + (d + one) / (best * best);
            let is_least = (minimum - 2.0 * (d + 1.0).sqrt()).abs() < 1e-12;
            Ok(Judgement::new(
                Verdict::holds_if(worst < 1e-12 && is_least),
                format!(
                    "largest relative difference {worst:.1e} over {num} samples; minimum {minimum:.9} at d = 100"
                ),
            ))
        },
    },
    Claim {
        ids: &["eq69"],
        statement: "For rank-one curvatures g_i g_i' the entries of the coherence matrix are |g_i . g_j|.",
        correction: "",
        assumptions: "",
        refuted_by: "vectors for which they differ",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: |setting, factor| {
            let mut rng = setting.key.generator();
            let mut worst = 0.0_f64;
            for _ in 0..500 {
                let draw = |rng: &mut rand_pcg::Pcg64| linstab_linalg::Mat::from_fn(4, 1, |_, _| normal(rng));
                let (g, h) = (draw(&mut rng), draw(&mut rng));
                let matrices = [&g * g.transpose(), &h * h.transpose()];
                let entry = super::instance::coherence_matrix(&matrices)[(0, 1)];
                let inner = (g.transpose() * &h)[(0, 0)].abs();
                worst = worst.max((entry - factor * inner).abs() / (g.norm_l2() * h.norm_l2()));
            }
            Ok(Judgement::new(
                Verdict::holds_if(worst < 1e-7),
                format!("largest difference {worst:.1e} over 500 pairs in 4 dimensions"),
            ))
        },
    },
    Claim {
        ids: &["eq70", "thm3.4-forward"],
        statement: "Samples that activate disjoint units have orthogonal gradients, so a memorising solution has a diagonal coherence matrix.",
        correction: "",
        assumptions: "",
        refuted_by: "a memorising solution with an entry beside the diagonal",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: None,
        check: |setting, _| {
            let mut largest = 0.0_f64;
            for index in 0..5 {
                let data = parity::draw(
                    40,
                    60,
                    Redundancy::Independent,
                    &mut setting.key.number(index).generator(),
                )?;
                let network = solutions::memorising(&data, 40, 1.5)?;
                let gram = Curvature::at(&network, &data, SquaredLoss::Half)?.gradient_gram();
                for (i, j) in (0..40).flat_map(|i| (0..i).map(move |j| (i, j))) {
                    largest = largest.max(gram[(i, j)].abs());
                }
            }
            Ok(Judgement::new(
                Verdict::holds_if(largest <= 0.0),
                format!(
                    "5 data sets of 40 samples with 60 inputs: largest entry beside the diagonal {largest}"
                ),
            ))
        },
    },
    Claim {
        ids: &["thm3.4-reverse"],
        statement: "If the coherence matrix is diagonal, the solution memorises: no two samples share a unit.",
        correction: "Overlaps can cancel; they cannot if the inputs of the two samples have an inner product above -1.",
        assumptions: "",
        refuted_by: "",
        expected: Verdict::Refuted,
        constant: -1.0,
        wrong_constant: Some(1.0),
        check: shared_unit,
    },
    Claim {
        ids: &["eq71"],
        statement: "In a cluster of the flattest (C, r) solution all entries of S are 2 sqrt(d + 1).",
        correction: "They are sqrt(d + 1) + (x_i . x_j + 1)/sqrt(d + 1), about half of it on average; 2 sqrt(d + 1) only for equal inputs.",
        assumptions: "r = (d + 1)^(1/4)",
        refuted_by: "an entry above 2 sqrt(d + 1)",
        expected: Verdict::BoundOnly,
        constant: 2.0,
        wrong_constant: Some(1.0),
        check: |setting, two| {
            let d = 100;
            let root = (d as f64 + 1.0).sqrt();
            let data = parity::draw(100, d, Redundancy::Independent, &mut setting.key.generator())?;
            let network = solutions::generalising(d, 32, 3, solutions::optimal_scale(d))?;
            let active = solutions::active_units(&network, &data)?;
            let gram = Curvature::at(&network, &data, SquaredLoss::Half)?.gradient_gram();
            let (mut largest, mut smallest, mut sum, mut num, mut error) =
                (0.0_f64, f64::INFINITY, 0.0, 0.0, 0.0_f64);
            for (i, j) in
                (0..100).flat_map(|i| (0..100).map(move |j| (i, j))).filter(|&(i, j)| active[i] == active[j])
            {
                let entry = gram[(i, j)].abs();
                let inner: f64 = data.input(i).iter().zip(data.input(j)).map(|(a, b)| a * b).sum();
                error = error.max((entry - root - (inner + 1.0) / root).abs());
                (largest, smallest) = (largest.max(entry), smallest.min(entry));
                if i != j {
                    (sum, num) = (sum + entry, num + 1.0);
                }
            }
            let bound = largest <= two * root * (1.0 + ROUNDING) && error < 1e-9;
            let verdict = Verdict::bounded(smallest >= two * root * (1.0 - ROUNDING), bound);
            Ok(Judgement::new(
                verdict,
                format!(
                    "d = n = 100, C = 3: entries {smallest:.3} to {largest:.3}, mean beside the diagonal {:.3}, 2 sqrt(d + 1) = {:.3}; corrected form to {error:.0e}",
                    sum / num,
                    2.0 * root
                ),
            ))
        },
    },
];

const PRINTED_ROWS: [[i8; 5]; 10] = [
    [1, 1, 1, 0, 0],
    [-1, 1, 1, 0, 0],
    [1, -1, 1, 0, 0],
    [-1, -1, 1, 0, 0],
    [1, 1, -1, 0, 0],
    [-1, 1, -1, 0, 0],
    [1, -1, -1, 0, 0],
    [-1, -1, -1, 0, 0],
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
];
const PRINTED_LABELS: [i8; 10] = [1, -1, -1, 1, 1, -1, -1, 1, 0, 0];

/// Firing units and squared gradient of the worked example with a bias, in integers, for every input.
fn worked_example(bias: &BigRational) -> (Vec<usize>, Vec<BigRational>) {
    let zero = integer(0);
    let (mut active, mut squares) = (Vec::new(), Vec::new());
    for mask in 0..32_u32 {
        let x: Vec<i64> = (0..5).map(|j| if mask >> j & 1 == 1 { -1 } else { 1 }).collect();
        // r = 1 and output weights +-1: a firing unit adds its feature squared and |x|^2 + 1.
        let features = PRINTED_ROWS[..8]
            .iter()
            .map(|row| integer(row.iter().zip(&x).map(|(w, x)| i64::from(*w) * x).sum::<i64>()) + bias);
        let firing: Vec<BigRational> = features.filter(|feature| *feature > zero).collect();
        active.push(firing.len());
        squares.push(firing.iter().fold(integer(0), |sum, feature| sum + feature * feature + integer(6)));
    }
    (active, squares)
}

fn bias_sign(_: &Setting<'_>, sign: f64) -> Result<Judgement> {
    let example = Counterexample::load("eq8")?;
    let printed = example.number("printed_bias")?;
    for (name, bias) in [("printed", printed.clone()), ("corrected", -&printed)] {
        let (active, squares) = worked_example(&bias);
        for (count, square) in active.iter().zip(&squares) {
            let count = integer(i64::try_from(*count).unwrap_or(0));
            example.confirm(&format!("active_{name}"), &count)?;
            example.confirm(&format!("squared_gradient_{name}"), square)?;
        }
    }
    let (active, squares) = worked_example(&(of_f64(sign) * &printed));
    let (_, right_squares) = worked_example(&-&printed);
    let verdict = Verdict::holds_if(active.iter().all(|&count| count == 1));
    Ok(Judgement::new(
        verdict,
        format!(
            "all 32 inputs, in integers: {} units fire, squared gradient {}; with -2 one unit fires, squared gradient {}",
            active[0], squares[0], right_squares[0]
        ),
    ))
}

fn gradient(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    const STEP: f64 = 1e-6;
    let (d, width) = (4, 6);
    let (mut printed, mut corrected) = (0.0_f64, 0.0_f64);
    for index in 0..100 {
        let mut rng = setting.key.number(index).generator();
        let network = TwoLayer::uniform(d, width, &mut rng)?;
        let x: Vec<f64> = (0..d).map(|_| normal(&mut rng)).collect();
        let units: Vec<(&[f64], f64, f64)> = network
            .hidden_weights()
            .chunks_exact(d)
            .zip(network.hidden_biases())
            .zip(network.output_weights())
            .map(|((w, b), v)| (w, *b, *v))
            .collect();
        let near_kink =
            units.iter().any(|(w, b, _)| (dot(w, &x) + b).abs() < 1e-3 || dot(w, &x).abs() < 1e-3);
        if near_kink {
            continue;
        }
        let formula = |bias: f64| -> Vec<f64> {
            let pre = |(w, b, _): &(&[f64], f64, f64)| dot(w, &x) + bias * b;
            let mut all: Vec<f64> = units.iter().map(|unit| pre(unit).max(0.0)).collect();
            let slope = |unit: &(&[f64], f64, f64)| if pre(unit) > 0.0 { unit.2 } else { 0.0 };
            all.extend(
                units.iter().flat_map(|unit| x.iter().map(move |x| (slope(unit), x))).map(|(s, x)| s * x),
            );
            all.extend(units.iter().map(slope));
            all
        };
        let difference = |at: usize| {
            let shifted = |step: f64| {
                let mut parts = [
                    network.output_weights().to_vec(),
                    network.hidden_weights().to_vec(),
                    network.hidden_biases().to_vec(),
                ];
                let (part, at) = if at < width {
                    (0, at)
                } else if at < width + width * d {
                    (1, at - width)
                } else {
                    (2, at - width - width * d)
                };
                parts[part][at] += step;
                TwoLayer::from_parts(d, &parts[0], &parts[1], &parts[2]).map(|network| network.predict(&x))
            };
            Ok((shifted(STEP)? - shifted(-STEP)?) / (2.0 * STEP))
        };
        let numeric: Vec<f64> = (0..width * (d + 2)).map(difference).collect::<Result<_>>()?;
        let distance =
            |formula: &[f64]| formula.iter().zip(&numeric).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        printed = printed.max(distance(&formula(0.0)));
        corrected = corrected.max(distance(&formula(factor)));
    }
    let verdict = Verdict::corrected(printed < 1e-7, corrected < 1e-7);
    Ok(Judgement::new(
        verdict,
        format!(
            "central differences of 100 networks: printed form off by up to {printed:.2}, corrected by {corrected:.0e}"
        ),
    ))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Two samples on one unit: inner product of their gradients, in fractions. `opposite` is the sign of the second input.
fn shared_unit(_: &Setting<'_>, opposite: f64) -> Result<Judgement> {
    let example = Counterexample::load("thm3.4-reverse")?;
    let inputs = example.inputs()?;
    let weights = [example.number("hidden_weight_1")?, example.number("hidden_weight_2")?];
    let (bias, output) = (example.number("bias")?, example.number("output_weight")?);
    let feature = |x: &[BigRational]| x.iter().zip(&weights).fold(bias.clone(), |sum, (x, w)| sum + x * w);
    let inner = |a: &[BigRational], b: &[BigRational]| {
        let inputs = a.iter().zip(b).fold(integer(1), |sum, (a, b)| sum + a * b) * &output * &output;
        feature(a) * feature(b) + inputs
    };
    let square = inner(&inputs[0], &inputs[0]);
    example.confirm("inner_product", &inner(&inputs[0], &inputs[1]))?;
    example.confirm("squared_norm", &square)?;
    let flip = of_f64(-opposite);
    let second: Vec<BigRational> = inputs[1].iter().map(|x| x * &flip).collect();
    let label = example.number("label")?;
    let is_solution = |x: &[BigRational]| feature(x) > integer(0) && &output * feature(x) == label;
    let product = inner(&inputs[0], &second);
    let diagonal = is_solution(&inputs[0]) && is_solution(&second) && product == integer(0);
    Ok(Judgement::new(
        Verdict::holds_if(!diagonal),
        format!(
            "inputs (1, 1) and (-1, -1), one unit (1, -1) with bias 1: both fire, loss 0, gradients with squared norm {square} and inner product {product}, in integers"
        ),
    ))
}
