//! Arrays that mean something beside factors: inner products, coefficients, outputs, labels, preconditioners.

use linstab_analysis::Loss;
use linstab_analysis::files::{InnerProducts, Tensor};
use linstab_linalg::symmetric;

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
            ],
            outputs,
        ),
        reader(
            "targets",
            4,
            vec![
                npy::encode("<i4", "(3,)", &integers(&[0, 1, 1])),
                npy::encode("<f8", "(3,)", &doubles(&[0.0, 1.0, 0.0])),
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
    for i in 0..order {
        for j in 0..order {
            let mean = 0.5 * (flat.at(&[i, j]) + flat.at(&[j, i]));
            let (found, across) = (products.matrix[(i, j)], products.matrix[(j, i)]);
            if !found.is_finite()
                || found.to_bits() != across.to_bits()
                || (found - mean).abs() > 1e-2 * largest
            {
                return Err(format!("({i}, {j}) is read as {found}, is {mean}"));
            }
        }
    }
    // Half precision rounds by 2^-11 a number: the loosest that is accepted, with room for the order.
    let lowest = symmetric::eigenpairs(products.matrix.as_ref()).map_err(|error| error.to_string())?.0[0];
    if lowest < -1e-2 * largest {
        Err(format!("an eigenvalue is {lowest}, the largest square {largest}"))
    } else {
        Ok(true)
    }
}

fn outputs(input: &Input<'_>) -> Verdict {
    let targets = npy::encode("<f8", "(3, 2)", &doubles(&[0.0; SAMPLES * FACTORS]));
    let classes = npy::encode("<i4", "(3,)", &integers(&[0, 1, 1]));
    let of = |loss: Loss, targets: Vec<u8>| {
        let (outputs, targets) = (open("x.npy", input.bytes.to_vec(), None)?, open("y.npy", targets, None)?);
        loss.coefficients(outputs, targets, (SAMPLES, FACTORS))
    };
    match (of(Loss::HalfSquaredError, targets), of(Loss::CrossEntropy, classes)) {
        (Err(error), Err(other)) => refused(error).and_then(|_| refused(other)),
        (Ok(numbers), Ok(others)) if numbers.iter().chain(&others).all(|number| number.is_finite()) => {
            Ok(true)
        }
        // A class of probability 0 by rounding has no gradient.
        (Ok(numbers), Err(error)) if numbers.iter().all(|number| number.is_finite()) => {
            refused(error).map(|_| true)
        }
        _ => Err("coefficients that are not finite".to_owned()),
    }
}

fn targets(input: &Input<'_>) -> Verdict {
    let outputs = npy::encode("<f8", "(3, 2)", &doubles(&[0.5, -0.5, 1.0, 0.0, -2.0, 2.0]));
    let read = open("x.npy", outputs, None).and_then(|outputs| {
        Loss::CrossEntropy.coefficients(
            outputs,
            open("y.npy", input.bytes.to_vec(), None)?,
            (SAMPLES, FACTORS),
        )
    });
    match read {
        Ok(numbers) if numbers.iter().all(|number| number.is_finite()) => Ok(true),
        Ok(_) => Err("coefficients that are not finite".to_owned()),
        Err(error) => refused(error),
    }
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
