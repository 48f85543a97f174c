//! What a `.npy` file says, read strictly: as a dictionary of Python, with three keys and nothing else.

use linstab_analysis::files::{DataType, Kind};

/// An array, with its numbers as they lie in the file.
pub(super) struct Array<'a> {
    pub(super) data_type: DataType,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    pub(super) numbers: &'a [u8],
}

impl Array<'_> {
    /// The number at these indices.
    pub(super) fn at(&self, indices: &[usize]) -> f64 {
        let pairs: Vec<(usize, usize)> = indices.iter().copied().zip(self.shape.iter().copied()).collect();
        let fold = |place: usize, (index, size): (usize, usize)| place * size + index;
        let place = if self.fortran_order {
            pairs.into_iter().rev().fold(0, fold)
        } else {
            pairs.into_iter().fold(0, fold)
        };
        self.data_type.decode(&self.numbers[place * self.data_type.kind.size()..])
    }
}

/// A file of an array of numbers.
pub(super) fn encode(data_type: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{data_type}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("a short header").to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(numbers);
    bytes
}

/// Makes the length of the header fit the header, so that what it says is looked at.
pub(super) fn repair(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n').filter(|end| *end >= 12) else {
        return bytes;
    };
    if bytes[6] == 1 {
        bytes[8..10].copy_from_slice(&u16::try_from(end - 9).unwrap_or_default().to_le_bytes());
    } else {
        bytes[8..12].copy_from_slice(&u32::try_from(end - 11).unwrap_or_default().to_le_bytes());
    }
    bytes
}

/// Reads a file.
pub(super) fn decode(bytes: &[u8]) -> Option<Array<'_>> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (header, numbers) = match (*rest.first()?, rest.get(2..)?) {
        (1, [a, b, rest @ ..]) => rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b])))?,
        (2 | 3, [a, b, c, d, rest @ ..]) => {
            rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize)?
        }
        _ => return None,
    };
    let (mut descr, mut order, mut shape) = (None, None, None);
    let mut text = skip(std::str::from_utf8(header).ok()?).strip_prefix('{')?;
    loop {
        text = skip(text);
        if let Some(end) = text.strip_prefix('}') {
            text = end;
            break;
        }
        let (key, rest) = quoted(text)?;
        text = skip(skip(rest).strip_prefix(':')?);
        let first = match key {
            "descr" => {
                let (value, rest) = quoted(text)?;
                text = rest;
                descr.replace(value).is_none()
            }
            "fortran_order" => {
                let value = text.starts_with("True");
                text = text.strip_prefix(if value { "True" } else { "False" })?;
                order.replace(value).is_none()
            }
            "shape" => {
                let (value, rest) = sizes(text)?;
                text = rest;
                shape.replace(value).is_none()
            }
            _ => false,
        };
        if !first {
            return None;
        }
        text = skip(text);
        text = match text.strip_prefix(',') {
            Some(rest) => rest,
            None if text.starts_with('}') => text,
            None => return None,
        };
    }
    let data_type = data_type(descr?)?;
    let array = Array { data_type, fortran_order: order?, shape: shape?, numbers };
    let fits = array.shape.iter().try_fold(data_type.kind.size(), |product, size| product.checked_mul(*size));
    (skip(text).is_empty() && fits == Some(numbers.len())).then_some(array)
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\n', '\t', '\r', '\x0C'])
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    text[1..].split_once(quote)
}

/// `(3, 5)`, `(3,)`, `()`.
fn sizes(text: &str) -> Option<(Vec<usize>, &str)> {
    let (inside, rest) = text.strip_prefix('(')?.split_once(')')?;
    let mut parts: Vec<&str> =
        inside.split(',').map(|part| part.trim_matches([' ', '\n', '\t', '\r', '\x0C'])).collect();
    if parts.len() == 1 && !parts[0].is_empty() {
        return None; // (3) is a number.
    }
    if parts.last() == Some(&"") {
        parts.pop();
    }
    let size = |part: &&str| {
        let digits = part.strip_suffix('L').unwrap_or(part);
        let plain =
            digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse::<usize>().ok().filter(|_| plain)
    };
    Some((parts.iter().map(size).collect::<Option<_>>()?, rest))
}

fn data_type(descr: &str) -> Option<DataType> {
    let order = descr.chars().next()?;
    let (order, name) = if "<>=|".contains(order) { (order, &descr[1..]) } else { ('=', descr) };
    let kind = match name {
        "f2" => Kind::F16,
        "V2" | "bfloat16" => Kind::Bf16,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        "b1" | "u1" => Kind::Unsigned(1),
        "u2" => Kind::Unsigned(2),
        "u4" => Kind::Unsigned(4),
        "u8" => Kind::Unsigned(8),
        "i1" => Kind::Signed(1),
        "i2" => Kind::Signed(2),
        "i4" => Kind::Signed(4),
        "i8" => Kind::Signed(8),
        _ => return None,
    };
    Some(DataType { kind, big_endian: order == '>' })
}
