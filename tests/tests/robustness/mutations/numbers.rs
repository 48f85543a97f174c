//! Arrays that mean something beside factors: inner products, coefficients, outputs, labels, preconditioners.

use linstab_analysis::Loss;
use linstab_analysis::files::{InnerProducts, Tensor};
use linstab_linalg::{Mat, symmetric};

use super::arrays::open;
use super::{Input, Kind, Reader, Verdict, npy, refused};

const SAMPLES: usize = 3;
const FACTORS: usize = 2;
const PARAMETERS: usize = 5;

fn doubles(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn singles(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn integers(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn readers() -> Vec<Reader> {
    let reader = |name, weight, originals, read: fn(&Input<'_>) -> Verdict| Reader {
        name,
        weight,
        kind: Kind::Binary,
        originals,
        repair: npy::repair,
        read: Box::new(read),
    };
    let factors: [[f64; 3]; 4] = [[1.0, 2.0, 0.0], [0.5, -1.0, 1.0], [0.0, 0.0, 0.0], [3.0, 1.0, -1.0]];
    let products: Vec<f64> =
        factors.iter().flat_map(|f| factors.map(|g| f.iter().zip(g).map(|(x, y)| x * y).sum())).collect();
    let rounded: Vec<f32> = products.iter().map(|product| *product as f32).collect();
    let halves: Vec<u8> =
        products.iter().flat_map(|product| half::f16::from_f64(*product).to_le_bytes()).collect();
    let residuals = [0.5, -1.5, 2.0, 0.25, -0.125, 3.0];
    vec![
        reader(
            "inner products",
            8,
            vec![
                npy::encode("<f8", "(4, 4)", &doubles(&products)),
                npy::encode("<f4", "(4, 4)", &singles(&rounded)),
                npy::encode("<f2", "(2, 2, 2, 2)", &halves),
                npy::encode("<f8", "(1, 1)", &doubles(&[0.0])),
            ],
            inner_products,
        ),
        reader(
            "residuals",
            6,
            vec![
                npy::encode("<f8", "(3, 2)", &doubles(&residuals)),
                npy::encode("<f4", "(3, 2)", &singles(&[0.0; 6])),
            ],
            |input| coefficients(input, &[SAMPLES, FACTORS], |tensor| tensor.coefficients(SAMPLES, FACTORS)),
        ),
        reader(
            "outputs",
            4,
            vec![
                npy::encode("<f8", "(3, 2)", &doubles(&residuals)),
                npy::encode("<f8", "(3, 2)", &doubles(&[700.0, -700.0, 0.0, 0.0, 1e3, 1.0])),
                npy::encode("<f8", "(3, 3)", &doubles(&[0.5, -0.5, 2.0, 1.0, 0.0, 0.25, -2.0, 2.0, 1.0])),
            ],
            outputs,
        ),
        reader(
            "targets",
            4,
            vec![
                npy::encode("<i4", "(3,)", &integers(&CLASSES)),
                npy::encode("<f8", "(3,)", &doubles(&[0.0, 1.0, 0.0])),
                npy::encode("<f8", "(3, 2)", &doubles(&TARGETS)),
            ],
            targets,
        ),
        reader(
            "labels",
            6,
            vec![
                npy::encode("<i4", "(3,)", &integers(&[4, -1, 4])),
                npy::encode("|u1", "(3,)", &[1, 2, 3]),
                npy::encode("<f8", "(3,)", &doubles(&[1.0, 2.0, -3.0])),
            ],
            labels,
        ),
        reader(
            "preconditioners",
            6,
            vec![
                npy::encode("<f8", "(5,)", &doubles(&[1.0, 2.0, 0.5, 1e-8, 3.0])),
                npy::encode("<f4", "(5,)", &singles(&[1.0, 2.0, 0.5, 1e-8, 3.0])),
            ],
            |input| {
                let verdict = coefficients(input, &[PARAMETERS], |tensor| tensor.preconditioner(PARAMETERS))?;
                let positive = npy::decode(input.bytes).is_some_and(|array| {
                    (0..PARAMETERS).all(|at| array.shape == [PARAMETERS] && array.at(&[at]) > 0.0)
                });
                if verdict && !positive {
                    Err("a preconditioner that is not positive".to_owned())
                } else {
                    Ok(verdict)
                }
            },
        ),
    ]
}

/// Numbers are finite and those that stand there.
fn coefficients(
    input: &Input<'_>,
    shape: &[usize],
    read: impl Fn(Tensor<'static>) -> linstab_analysis::Result<Vec<f64>>,
) -> Verdict {
    let numbers = match open("x.npy", input.bytes.to_vec(), None).and_then(read) {
        Ok(numbers) => numbers,
        Err(error) => return refused(error),
    };
    let array = npy::decode(input.bytes).ok_or("accepted, although it is no array as NumPy writes one")?;
    if array.shape != shape {
        return Err(format!("accepted with shape {:?}", array.shape));
    }
    for (at, number) in numbers.iter().enumerate() {
        let place = if shape.len() == 1 { vec![at] } else { vec![at / shape[1], at % shape[1]] };
        if !number.is_finite() || number.to_bits() != array.at(&place).to_bits() {
            return Err(format!("entry {place:?} is read as {number}"));
        }
    }
    Ok(true)
}

fn inner_products(input: &Input<'_>) -> Verdict {
    let wanted = [None, Some(1), Some(2)][usize::try_from(input.choice % 3).unwrap_or_default()];
    let read =
        open("x.npy", input.bytes.to_vec(), None).and_then(|tensor| InnerProducts::read(tensor, wanted));
    let products = match read {
        Ok(products) => products,
        Err(error) => return refused(error),
    };
    let array = npy::decode(input.bytes).ok_or("accepted, although it is no array as NumPy writes one")?;
    let order = products.matrix.nrows();
    if products.num_samples * products.num_factors != order {
        return Err(format!("{order} factors of {} samples", products.num_samples));
    }
    let flat = npy::Array { shape: vec![order, order], ..array };
    let largest = (0..order).map(|i| flat.at(&[i, i])).fold(0.0, f64::max);
    // In units in which nothing leaves the range of numbers; where nothing has a length all is zero.
    let unit = if largest > 0.0 { largest } else { 1.0 };
    for i in 0..order {
        for j in 0..order {
            let mean = 0.5 * flat.at(&[i, j]) + 0.5 * flat.at(&[j, i]);
            let (found, across) = (products.matrix[(i, j)], products.matrix[(j, i)]);
            if !found.is_finite()
                || found.to_bits() != across.to_bits()
                || (found - mean).abs() > 1e-2 * largest
            {
                return Err(format!("({i}, {j}) is read as {found:e}, is {mean:e}"));
            }
        }
    }
    let scaled = Mat::from_fn(order, order, |i, j| products.matrix[(i, j)] / unit);
    // Half precision rounds by 2^-11 a number: the loosest that is accepted, with room for the order.
    let lowest = symmetric::eigenpairs(scaled.as_ref()).map_err(|error| error.to_string())?.0[0];
    if lowest < -1e-2 || (largest <= 0.0 && lowest < 0.0) {
        Err(format!("an eigenvalue is {lowest:e} of the largest square, {largest:e}"))
    } else {
        Ok(true)
    }
}

/// Outputs that targets are given with, targets of squared error, and classes.
const OUTPUTS: [f64; SAMPLES * FACTORS] = [0.5, -0.5, 1.0, 0.0, -2.0, 2.0];
const TARGETS: [f64; SAMPLES * FACTORS] = [0.25, 0.0, -1.0, 0.0, 3.0, 0.5];
const CLASSES: [i32; SAMPLES] = [0, 1, 1];

/// Whether a loss that is read from these outputs and targets is that of the numbers that stand there.
fn loss(loss: Loss, outputs: &[u8], targets: &[u8]) -> Verdict {
    let read = open("x.npy", outputs.to_vec(), None).and_then(|outputs| {
        loss.coefficients(outputs, open("y.npy", targets.to_vec(), None)?, (SAMPLES, FACTORS))
    });
    let found = match read {
        Ok(numbers) => numbers,
        Err(error) => return refused(error),
    };
    let strictly = |bytes| npy::decode(bytes).ok_or("accepted, although it is no array as NumPy writes one");
    let (outputs, targets) = (strictly(outputs)?, strictly(targets)?);
    let rows = if loss == Loss::CrossEntropy {
        of_classes(&outputs, &targets)
    } else {
        differences(&outputs, &targets)
    };
    let expected =
        rows.ok_or_else(|| format!("accepted with shapes {:?}, {:?}", outputs.shape, targets.shape))?;
    same(&found, &expected)
}

/// To rounding in exponentials, relative to the largest of a sample: terms of it cancel.
fn same(found: &[f64], expected: &[[f64; FACTORS]; SAMPLES]) -> Verdict {
    for (sample, (found, expected)) in found.chunks(FACTORS).zip(expected).enumerate() {
        let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest, number| largest.max(number.abs()));
        let off = |(found, expected): (&f64, &f64)| !((found - expected).abs() <= 1e-9 * largest);
        if found.len() != FACTORS || found.iter().zip(expected).any(off) {
            return Err(format!("sample {sample} has {found:?}, by the definition {expected:?}"));
        }
    }
    if found.len() == SAMPLES * FACTORS { Ok(true) } else { Err(format!("{} coefficients", found.len())) }
}

/// `f - y`.
fn differences(outputs: &npy::Array<'_>, targets: &npy::Array<'_>) -> Option<[[f64; FACTORS]; SAMPLES]> {
    let fits = |array: &npy::Array<'_>| array.shape == [SAMPLES, FACTORS];
    let row = |i: usize| [0, 1].map(|q| outputs.at(&[i, q]) - targets.at(&[i, q]));
    (fits(outputs) && fits(targets)).then(|| [0, 1, 2].map(row))
}

/// The gradient `p - e_y` in the logits is `diag(s) c` with `s = sqrt(p)`. If there is a class more than factors, `c` is reflected so that `s`, to
/// which it is orthogonal, becomes the last axis, which is left out.
fn of_classes(logits: &npy::Array<'_>, classes: &npy::Array<'_>) -> Option<[[f64; FACTORS]; SAMPLES]> {
    let &[samples, num_classes] = &logits.shape[..] else { return None };
    if samples != SAMPLES || classes.shape != [SAMPLES] || !(FACTORS..=FACTORS + 1).contains(&num_classes) {
        return None;
    }
    let row = |i: usize| -> Option<[f64; FACTORS]> {
        let class = classes.at(&[i]);
        let known = class >= 0.0 && class < num_classes as f64 && class.fract().abs() <= 0.0;
        // sqrt(1 / p_q), the root of a sum of exponentials of differences, each of which may be too large for its square.
        let inverse_root = |q: usize| {
            let difference = |r: usize| logits.at(&[i, r]) - logits.at(&[i, q]);
            (0..num_classes).map(|r| (0.5 * difference(r)).exp()).fold(0.0, f64::hypot)
        };
        let root = |q: usize| inverse_root(q).recip();
        // -(1 - p_y) / sqrt(p_y), by what others have.
        let others = |q: usize| (0..num_classes).filter(move |&r| r != q);
        let missing = |q: usize| others(q).map(|r| root(r) * (root(r) * inverse_root(q))).sum::<f64>();
        let of_class = |q: usize| if q == class as usize { -missing(q) } else { root(q) };
        let mut c: Vec<f64> = (0..num_classes).map(of_class).collect();
        if num_classes > FACTORS {
            let mut axis: Vec<f64> = (0..num_classes).map(root).collect();
            axis[num_classes - 1] += 1.0;
            let square: f64 = axis.iter().map(|a| a * a).sum();
            let along: f64 = axis.iter().zip(&c).map(|(a, c)| a * c).sum();
            c.iter_mut().zip(&axis).for_each(|(c, a)| *c -= 2.0 * along / square * a);
        }
        known.then(|| [c[0], c[1]])
    };
    Some([row(0)?, row(1)?, row(2)?])
}

fn outputs(input: &Input<'_>) -> Verdict {
    let targets = npy::encode("<f8", "(3, 2)", &doubles(&TARGETS));
    let classes = npy::encode("<i4", "(3,)", &integers(&CLASSES));
    // A class of probability 0 by rounding has no gradient, but a difference from its target.
    let squared = loss(Loss::HalfSquaredError, input.bytes, &targets)?;
    Ok(loss(Loss::CrossEntropy, input.bytes, &classes)? || squared)
}

fn targets(input: &Input<'_>) -> Verdict {
    if input.choice.is_multiple_of(2) {
        loss(Loss::CrossEntropy, &npy::encode("<f8", "(3, 2)", &doubles(&OUTPUTS)), input.bytes)
    } else {
        loss(Loss::HalfSquaredError, &npy::encode("<f8", "(3, 2)", &doubles(&OUTPUTS)), input.bytes)
    }
}

/// Whether the loss of other targets, and of another class, is found out.
pub(super) fn control() -> bool {
    fn decoded(bytes: &[u8]) -> npy::Array<'_> {
        npy::decode(bytes).expect("an array")
    }
    let outputs = npy::encode("<f8", "(3, 2)", &doubles(&OUTPUTS));
    let wider = npy::encode("<f8", "(3, 3)", &doubles(&[0.5, -0.5, 2.0, 1.0, 0.0, 0.25, -2.0, 2.0, 1.0]));
    let mut others = CLASSES;
    others[2] = 0;
    let [ours, theirs] = [CLASSES, others].map(|classes| npy::encode("<i4", "(3,)", &integers(&classes)));
    [outputs, wider].iter().all(|logits| {
        let of =
            |classes: &[u8]| of_classes(&decoded(logits), &decoded(classes)).expect("classes that are there");
        let read = Loss::CrossEntropy.coefficients(
            open("x.npy", logits.clone(), None).expect("outputs"),
            open("y.npy", ours.clone(), None).expect("classes"),
            (SAMPLES, FACTORS),
        );
        read.is_ok_and(|read| same(&read, &of(&ours)) == Ok(true) && same(&read, &of(&theirs)).is_err())
    })
}

fn labels(input: &Input<'_>) -> Verdict {
    let labels = match open("x.npy", input.bytes.to_vec(), None).and_then(Tensor::labels) {
        Ok(labels) => labels,
        Err(error) => return refused(error),
    };
    let array = npy::decode(input.bytes).ok_or("accepted, although it is no array as NumPy writes one")?;
    let wrong = (0..labels.len()).find(|&at| (labels[at] as f64 - array.at(&[at])).abs() > 0.0);
    wrong.map_or(Ok(true), |at| Err(format!("label {at} is read as {}", labels[at])))
}
