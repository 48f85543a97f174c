//! The header of a `.npy` file, versions 1 to 3.
//!
//! `\x93NUMPY`, two bytes of version, the length of the header (two bytes in version 1, four from 2 on), and the header: the text of a
//! Python dictionary with the keys `descr`, `fortran_order` and `shape`. Source: NumPy enhancement proposal 1 and `numpy.lib.format`.

use super::data_type::{DataType, Kind};

const MAGIC: &[u8] = b"\x93NUMPY";

/// No header of ours is longer; one that says so is damaged.
const LONGEST_HEADER: usize = 1 << 20;

/// What the header of an array says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) data_type: DataType,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Where the numbers begin.
    pub(crate) offset: usize,
}

/// Why a header is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not what a header is.
    Damaged(String),
    /// It is one, of something that is not supported.
    Unsupported(String),
}

/// Bytes that a header takes, from its first ten or twelve.
pub(crate) fn header_len(start: &[u8]) -> Result<usize, Refusal> {
    let damaged = |problem: &str| Err(Refusal::Damaged(problem.to_owned()));
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
            return Err(Refusal::Unsupported(problem));
        }
    };
    if size > LONGEST_HEADER {
        return damaged("has a .npy header of more than a megabyte");
    }
    Ok(prefix + size)
}

/// The header in `bytes`, which are exactly as many as [`header_len`] says.
pub(crate) fn parse(bytes: &[u8]) -> Result<Header, Refusal> {
    let damaged = |problem: String| Refusal::Damaged(problem);
    let prefix = if bytes.get(6) == Some(&1) { 10 } else { 12 };
    let text = bytes.get(prefix..).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let value = |key: &str| -> Result<&str, Refusal> {
        let start = ['\'', '"'].iter().find_map(|quote| {
            let quoted = format!("{quote}{key}{quote}");
            text.find(&quoted).map(|at| at + quoted.len())
        });
        let rest = start.and_then(|start| text[start..].trim_start().strip_prefix(':'));
        rest.map(str::trim_start).ok_or_else(|| damaged(format!("has a .npy header without `{key}`")))
    };
    let fortran_order = match value("fortran_order")? {
        text if text.starts_with("True") => true,
        text if text.starts_with("False") => false,
        _ => {
            return Err(damaged(
                "has a .npy header whose `fortran_order` is neither True nor False".to_owned(),
            ));
        }
    };
    Ok(Header {
        data_type: parse_descr(value("descr")?)?,
        fortran_order,
        shape: parse_shape(value("shape")?)
            .ok_or_else(|| damaged("has a .npy header whose `shape` is no tuple of sizes".to_owned()))?,
        offset: bytes.len(),
    })
}

fn parse_descr(text: &str) -> Result<DataType, Refusal> {
    const SUPPORTED: &str = "supported: f2, f4, f8, bfloat16 (for labels integers, too)";
    let quote = text.chars().next().filter(|&c| c == '\'' || c == '"');
    let Some((descr, _)) = quote.and_then(|quote| text[1..].split_once(quote)) else {
        return Err(Refusal::Unsupported(format!("has records for entries, {SUPPORTED}")));
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
            return Err(Refusal::Unsupported(problem.to_owned()));
        }
        _ => return Err(Refusal::Unsupported(format!("has entries of type {descr:?}, {SUPPORTED}"))),
    };
    let big_endian = order == '>' || (order == '=' && cfg!(target_endian = "big"));
    Ok(DataType { kind, big_endian })
}

fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    let mut sizes = Vec::new();
    let mut parts = inside.split(',').map(str::trim).peekable();
    while let Some(part) = parts.next() {
        // A tuple may end in a comma.
        if part.is_empty() && parts.peek().is_none() {
            break;
        }
        sizes.push(part.trim_end_matches('L').parse().ok()?);
    }
    Some(sizes)
}
