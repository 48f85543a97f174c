//! The header of a `.npy` file, versions 1 to 3.
//!
//! `\x93NUMPY`, two bytes of version, the length of the header (two bytes in version 1, four from 2 on), and the header: the text of a
//! Python dictionary with the keys `descr`, `fortran_order` and `shape`. Source: NumPy enhancement proposal 1 and `numpy.lib.format`.

use std::ops::Range;

use super::bytes::Bytes;
use super::data_type::{DataType, Kind};
use super::{Format, Wanted};
use crate::files::Tensor;
use crate::{AnalysisError, Result};

pub(super) const FORMAT: Format = Format {
    name: ".npy",
    recognises: |head| head.starts_with(MAGIC),
    tensor: |bytes, wanted| {
        if let Some(name) = wanted.name {
            return Err(
                wanted.unsupported(format!("a .npy file holds one array without a name, not `{name}`"))
            );
        }
        let len = bytes.len().map_err(AnalysisError::io("read", wanted.path))?;
        tensor_at(bytes, 0..len, wanted)
    },
};

const MAGIC: &[u8] = b"\x93NUMPY";

/// No header of ours is longer; one that says so is damaged.
const LONGEST_HEADER: usize = 1 << 20;

/// The array whose header begins at the start of `place` and whose numbers fill the rest of it.
pub(super) fn tensor_at(
    mut bytes: Bytes<'static>,
    place: Range<u64>,
    wanted: &Wanted<'_>,
) -> Result<Tensor<'static>> {
    let read = AnalysisError::io("read", wanted.path);
    let len = place.end.saturating_sub(place.start);
    let mut prefix = vec![0; usize::try_from(len.min(12)).unwrap_or_default()];
    bytes.read_at(place.start, &mut prefix).map_err(&read)?;
    let header_len = header_len(&prefix, wanted)?;
    if header_len as u64 > len {
        return Err(wanted.damaged("is truncated within its .npy header"));
    }
    let mut header = vec![0; header_len];
    bytes.read_at(place.start, &mut header).map_err(&read)?;
    let header = parse(&header, wanted)?;
    let numbers = place.start + header_len as u64..place.end;
    Tensor::new(wanted.path, bytes, numbers, header.data_type, header.fortran_order, header.shape)
}

/// What the header of an array says.
struct Header {
    data_type: DataType,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Bytes that a header takes, from its first ten or twelve.
fn header_len(start: &[u8], wanted: &Wanted<'_>) -> Result<usize> {
    let damaged = |problem: &str| Err(wanted.damaged(problem));
    if !start.starts_with(MAGIC) {
        return damaged("is not a .npy file: it does not begin with \\x93NUMPY");
    }
    let (Some(&major), Some(length)) = (start.get(6), start.get(8..)) else {
        return damaged("is truncated within its .npy header");
    };
    let (size, prefix) = match (major, length) {
        (1, &[a, b, ..]) => (usize::from(u16::from_le_bytes([a, b])), 10),
        (2 | 3, &[a, b, c, d, ..]) => {
            (usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX), 12)
        }
        (1..=3, _) => return damaged("is truncated within its .npy header"),
        _ => {
            let problem = format!("is .npy version {major}, supported: 1 to 3");
            return Err(wanted.unsupported(problem));
        }
    };
    if size > LONGEST_HEADER {
        return damaged("has a .npy header of more than a megabyte");
    }
    Ok(prefix + size)
}

/// The header in `bytes`, which are exactly as many as [`header_len`] says.
fn parse(bytes: &[u8], wanted: &Wanted<'_>) -> Result<Header> {
    let damaged = |problem: String| wanted.damaged(problem);
    let prefix = if bytes.get(6) == Some(&1) { 10 } else { 12 };
    let text = std::str::from_utf8(bytes.get(prefix..).unwrap_or_default()).ok();
    let entries = text
        .and_then(entries)
        .ok_or_else(|| damaged("has a .npy header that is no dictionary of Python".to_owned()))?;
    let value = |key: &str| -> Result<&str> {
        let found = entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
        found.ok_or_else(|| damaged(format!("has a .npy header without `{key}`")))
    };
    let [descr, fortran_order, shape] = ["descr", "fortran_order", "shape"].map(value);
    let (descr, fortran_order, shape) = (descr?, fortran_order?, shape?);
    // Which of two is meant, and what other keys change, nobody can say.
    if entries.len() > 3 {
        return Err(damaged("has a .npy header with a key twice, or one that is not known".to_owned()));
    }
    let fortran_order = match fortran_order {
        "True" => true,
        "False" => false,
        _ => {
            return Err(damaged(
                "has a .npy header whose `fortran_order` is neither True nor False".to_owned(),
            ));
        }
    };
    Ok(Header {
        data_type: parse_descr(descr, wanted)?,
        fortran_order,
        shape: parse_shape(shape)
            .ok_or_else(|| damaged("has a .npy header whose `shape` is no tuple of sizes".to_owned()))?,
    })
}

/// Keys and values, as texts, of a dictionary with nothing around it. A value is a text, a tuple, a list or a word.
fn entries(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.trim_ascii().strip_prefix('{')?.strip_suffix('}')?.trim_ascii();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (key, after) = rest[1..].split_once(quote)?;
        let value = after.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
        let end = match value.chars().next()? {
            quote @ ('\'' | '"') => value[1..].find(quote)? + 2,
            '(' => value.find(')')? + 1,
            '[' => value.find(']')? + 1,
            _ => value.find(',').unwrap_or(value.len()),
        };
        entries.push((key, value[..end].trim_ascii_end()));
        rest = value[end..].trim_ascii_start();
        rest = if rest.is_empty() { rest } else { rest.strip_prefix(',')?.trim_ascii_start() };
    }
    Some(entries)
}

fn parse_descr(text: &str, wanted: &Wanted<'_>) -> Result<DataType> {
    let quote = text.chars().next().filter(|&c| c == '\'' || c == '"');
    let Some((descr, _)) = quote.and_then(|quote| text[1..].split_once(quote)) else {
        return Err(wanted.unsupported(format!("has records for entries, {}", Kind::SUPPORTED)));
    };
    let (order, name) = match descr.chars().next() {
        Some(order @ ('<' | '>' | '=' | '|')) => (order, &descr[1..]),
        _ => ('=', descr),
    };
    let kind = match name {
        "f2" => Kind::F16,
        // NumPy has no bfloat16 of its own: the usual extension saves it as two bytes without a type.
        "bfloat16" | "V2" => Kind::Bf16,
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
        "O" => {
            let problem = "holds Python objects, which are never unpickled; save an array of numbers";
            return Err(wanted.unsupported(problem));
        }
        _ => return Err(wanted.unsupported(format!("has entries of type {descr:?}, {}", Kind::SUPPORTED))),
    };
    let big_endian = order == '>' || (order == '=' && cfg!(target_endian = "big"));
    Ok(DataType { kind, big_endian })
}

fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    if inside.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    // A tuple may end in a comma, and one of a single size must.
    let parts = match inside.trim_ascii_end().strip_suffix(',') {
        Some(parts) => parts,
        None if inside.contains(',') => inside,
        None => return None,
    };
    parts.split(',').map(parse_size).collect()
}

/// A number as Python writes one; an `L` was once the sign of a long one.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_ascii();
    let digits = digits.strip_suffix('L').unwrap_or(digits);
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}
