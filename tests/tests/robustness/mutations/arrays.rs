//! Files of factors: `.npy`, `.npz`, `.safetensors`.

use std::path::Path;

use linstab_analysis::files::{self, DataType, FactorFile, Tensor};

use super::{Input, Kind, Reader, Verdict, npy, refused, zipped};
use linstab_tests::root;

pub(super) const LIMIT: usize = 16 << 20;

/// Files that the tests of the readers have, by the end of their names.
fn fixtures(ending: &str) -> Vec<Vec<u8>> {
    let folder = root().join("crates/linstab-analysis/tests/fixtures");
    let entries = std::fs::read_dir(folder).expect("the fixtures of the readers");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort_unstable();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.iter().map(|path| std::fs::read(path).expect("a readable fixture")).collect()
}

pub(super) fn readers() -> Vec<Reader> {
    let archives = fixtures(".npz");
    // Of all of them: one may be spliced with another.
    let within: Vec<Held> = archives.iter().flat_map(|bytes| members(bytes)).collect();
    vec![
        Reader {
            name: ".npy files",
            weight: 24,
            kind: Kind::Binary,
            originals: fixtures(".npy"),
            repair: npy::repair,
            read: Box::new(|input| npy_file(input.bytes)),
        },
        Reader {
            name: ".npz files",
            weight: 12,
            kind: Kind::Binary,
            originals: archives,
            repair: |bytes| bytes,
            read: Box::new(move |input| npz_file(input, &within)),
        },
        Reader {
            name: "members of .npz files",
            weight: 8,
            kind: Kind::Binary,
            originals: fixtures(".npy"),
            repair: npy::repair,
            read: Box::new(|input| {
                let archive = zipped::archive("factors.npy", input.bytes);
                compare(open("x.npz", archive, None), npy::decode(input.bytes).as_ref())
            }),
        },
        Reader {
            name: ".safetensors files",
            weight: 16,
            kind: Kind::Binary,
            originals: fixtures(".safetensors"),
            repair: repair_safetensors,
            read: Box::new(safetensors_file),
        },
    ]
}

pub(super) fn open(
    name: &str,
    bytes: Vec<u8>,
    tensor: Option<&str>,
) -> linstab_analysis::Result<Tensor<'static>> {
    files::open_in_memory(Path::new(name), bytes, tensor, "factors", LIMIT)
}

fn npy_file(bytes: &[u8]) -> Verdict {
    compare(open("x.npy", bytes.to_vec(), None), npy::decode(bytes).as_ref())
}

/// Whether a number, a shape or a type that is not what stands there is found out.
pub(super) fn control() -> bool {
    let file = |data_type: &str, shape: &str, entry: f64| {
        npy::encode(data_type, shape, &[entry.to_le_bytes(), 2.0_f64.to_le_bytes()].concat())
    };
    let read = file("<f8", "(2, 1)", 1.0);
    let against = |other: &[u8]| compare(open("x.npy", read.clone(), None), npy::decode(other).as_ref());
    let others = [file("<f8", "(2, 1)", 3.0), file("<f8", "(1, 2)", 1.0), file("<u8", "(2, 1)", 1.0)];
    against(&read) == Ok(true) && others.iter().all(|other| against(other).is_err())
}

/// Whether what was read is what stands there.
fn compare(tensor: linstab_analysis::Result<Tensor<'static>>, expected: Option<&npy::Array<'_>>) -> Verdict {
    let tensor = match tensor {
        Ok(tensor) => tensor,
        Err(error) => return refused(error),
    };
    let expected = expected.ok_or("accepted, although it is no array as NumPy writes one")?;
    let (found, wanted) = ((tensor.data_type(), tensor.shape()), (expected.data_type, &expected.shape[..]));
    if !same_type(found.0, wanted.0) || found.1 != wanted.1 {
        return Err(format!("read as {found:?}, is {wanted:?}"));
    }
    match expected.shape.len() {
        1 => labels(tensor, expected),
        _ => factors(tensor, expected),
    }
}

/// The order of the bytes of one says nothing.
fn same_type(one: DataType, other: DataType) -> bool {
    one.kind == other.kind && (one.big_endian == other.big_endian || one.kind.size() == 1)
}

fn labels(tensor: Tensor<'static>, expected: &npy::Array<'_>) -> Verdict {
    let labels = match tensor.labels() {
        Ok(labels) => labels,
        Err(error) => return refused(error),
    };
    let wrong = (0..labels.len()).find(|&at| (labels[at] as f64 - expected.at(&[at])).abs() > 0.0);
    wrong.map_or(Ok(true), |at| Err(format!("label {at} is read as {}", labels[at])))
}

fn factors(tensor: Tensor<'static>, expected: &npy::Array<'_>) -> Verdict {
    let read = FactorFile::new(tensor).and_then(|mut file| Ok((file.num_factors(), file.read_all()?)));
    let (num_factors, matrix) = match read {
        Ok(read) => read,
        Err(error) => return refused(error),
    };
    for row in 0..matrix.nrows() {
        for column in 0..matrix.ncols() {
            let (sample, factor) = (row / num_factors, row % num_factors);
            let place =
                if expected.shape.len() == 2 { vec![sample, column] } else { vec![sample, factor, column] };
            if matrix[(row, column)].to_bits() != expected.at(&place).to_bits() {
                return Err(format!("entry {place:?} is read as {}", matrix[(row, column)]));
            }
        }
    }
    Ok(true)
}

/// An array that an archive holds: type, shape and numbers, in order.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    name: String,
    kind: String,
    shape: Vec<usize>,
    bits: Vec<u64>,
}

/// The names in the archives that the tests of the readers have.
const MEMBERS: [&str; 4] = ["cube", "flat", "labels", "arr_0"];

fn members(bytes: &[u8]) -> Vec<Held> {
    MEMBERS.iter().filter_map(|name| held(name, open("x.npz", bytes.to_vec(), Some(name)).ok()?)).collect()
}

fn held(name: &str, tensor: Tensor<'static>) -> Option<Held> {
    let (kind, shape) = (tensor.data_type().kind, tensor.shape().to_vec());
    let bits = if shape.len() == 1 {
        tensor.labels().ok()?.into_iter().map(i64::cast_unsigned).collect()
    } else {
        let matrix = FactorFile::new(tensor).ok()?.read_all().ok()?;
        (0..matrix.nrows())
            .flat_map(|i| (0..matrix.ncols()).map(move |j| (i, j)))
            .map(|(i, j)| matrix[(i, j)].to_bits())
            .collect()
    };
    Some(Held { name: name.to_owned(), kind: kind.to_string(), shape, bits })
}

/// Members have checksums: what is accepted is what was there, whatever it is called now.
fn npz_file(input: &Input<'_>, within: &[Held]) -> Verdict {
    let choices = [None, Some("cube"), Some("labels"), Some("arr_0")];
    let wanted = choices[usize::try_from(input.choice % 4).unwrap_or_default()];
    let tensor = match open("x.npz", input.bytes.to_vec(), wanted) {
        Ok(tensor) => tensor,
        Err(error) => return refused(error),
    };
    // What is no array of factors or labels is refused later, by its type.
    let Some(found) = held("", tensor) else { return Ok(false) };
    let same =
        |held: &Held| (&held.kind, &held.shape, &held.bits) == (&found.kind, &found.shape, &found.bits);
    if within.iter().any(same) { Ok(true) } else { Err("a member is accepted that was none".to_owned()) }
}

/// Makes the length of the header fit the header.
fn repair_safetensors(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"}}").map(|at| at + 2).filter(|end| *end > 8)
    else {
        return bytes;
    };
    let spaces = bytes[end..].iter().take_while(|byte| **byte == b' ').count();
    let length = (end + spaces - 8) as u64;
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn safetensors_file(input: &Input<'_>) -> Verdict {
    let name = ["F16", "BF16", "F32", "F64"][usize::try_from(input.choice % 4).unwrap_or_default()];
    let tensor = match open("x.safetensors", input.bytes.to_vec(), Some(name)) {
        Ok(tensor) => tensor,
        Err(error) => return refused(error),
    };
    let expected = safetensor(input.bytes, name)
        .ok_or("accepted, although its header does not fill the file with tensors")?;
    compare(Ok(tensor), Some(&expected))
}

/// The tensor of this name, read strictly: tensors follow on one another and fill the file.
fn safetensor<'a>(bytes: &'a [u8], name: &str) -> Option<npy::Array<'a>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, numbers) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    let place = |info: &serde_json::Value| {
        let offset = |at: usize| usize::try_from(info["data_offsets"][at].as_u64()?).ok();
        Some((offset(0)?, offset(1)?))
    };
    let mut places: Vec<(usize, usize)> = header
        .iter()
        .filter(|(key, _)| *key != "__metadata__")
        .map(|(_, info)| place(info))
        .collect::<Option<_>>()?;
    places.sort_unstable();
    let filled =
        places.iter().try_fold(0, |end, place| (place.0 == end && place.1 >= end).then_some(place.1))?;
    let info = header.get(name)?;
    let (start, end) = place(info)?;
    let kind = match info["dtype"].as_str()? {
        "F16" => files::Kind::F16,
        "BF16" => files::Kind::Bf16,
        "F32" => files::Kind::F32,
        "F64" => files::Kind::F64,
        "I8" => files::Kind::Signed(1),
        "U8" | "BOOL" => files::Kind::Unsigned(1),
        "I16" => files::Kind::Signed(2),
        "U16" => files::Kind::Unsigned(2),
        "I32" => files::Kind::Signed(4),
        "U32" => files::Kind::Unsigned(4),
        "I64" => files::Kind::Signed(8),
        "U64" => files::Kind::Unsigned(8),
        _ => return None,
    };
    let size = |value: &serde_json::Value| usize::try_from(value.as_u64()?).ok();
    let shape = info["shape"].as_array()?.iter().map(size).collect::<Option<Vec<_>>>()?;
    let data_type = DataType { kind, big_endian: false };
    (filled == numbers.len()).then_some(npy::Array {
        data_type,
        fortran_order: false,
        shape,
        numbers: numbers.get(start..end)?,
    })
}
