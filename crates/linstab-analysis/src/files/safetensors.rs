//! `.safetensors` files: eight bytes of length, a JSON header of names, types, shapes and places, and the numbers.

use ::safetensors::tensor::{Dtype, Metadata};

use super::bytes::Bytes;
use super::data_type::{DataType, Kind};
use super::{Format, Wanted};
use crate::files::Tensor;
use crate::{AnalysisError, Result};

pub(super) const FORMAT: Format =
    Format { name: ".safetensors", recognises: |head| head.get(8) == Some(&b'{'), tensor };

/// The format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

fn tensor(mut bytes: Bytes<'static>, wanted: &Wanted<'_>) -> Result<Tensor<'static>> {
    let read = AnalysisError::io("read", wanted.path);
    let mut length = [0; 8];
    bytes.read_at(0, &mut length).map_err(&read)?;
    let length = u64::from_le_bytes(length);
    let len = bytes.len().map_err(&read)?;
    if length > LONGEST_HEADER || length.saturating_add(8) > len {
        return Err(wanted.damaged("is truncated within its .safetensors header"));
    }
    let mut header = vec![0; usize::try_from(length).unwrap_or_default()];
    bytes.read_at(8, &mut header).map_err(&read)?;
    // The library refuses tensors that overlap, leave a hole or are named twice: places must follow on one another.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| wanted.damaged(format!("has a damaged .safetensors header: {error}")))?;
    let mut names = metadata.offset_keys();
    names.sort_unstable();
    let chosen = wanted.choose(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let truncated = || wanted.damaged(format!("is truncated: `{chosen}` ends after the file"));
    let info = metadata.info(chosen).ok_or_else(truncated)?;
    let place = info.data_offsets.0 as u64 + 8 + length..info.data_offsets.1 as u64 + 8 + length;
    if place.end > len {
        return Err(truncated());
    }
    // Tensors fill the file: what is beyond them was meant to be something, and what is missing may be part of another one.
    let end =
        names.iter().filter_map(|name| metadata.info(name)).map(|info| info.data_offsets.1 as u64).max();
    let filled = end.unwrap_or_default().saturating_add(8 + length);
    if filled != len {
        return Err(wanted.damaged(format!(
            "has {len} bytes, its tensors end at {filled}: it is truncated or its header lies"
        )));
    }
    let data_type = data_type(info.dtype).ok_or_else(|| {
        wanted.unsupported(format!("`{chosen}` has entries of type {}, {}", info.dtype, Kind::SUPPORTED))
    })?;
    Tensor::new(wanted.path, bytes, place, data_type, false, info.shape.clone())
}

fn data_type(dtype: Dtype) -> Option<DataType> {
    let kind = match dtype {
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        Dtype::BOOL | Dtype::U8 => Kind::Unsigned(1),
        Dtype::U16 => Kind::Unsigned(2),
        Dtype::U32 => Kind::Unsigned(4),
        Dtype::U64 => Kind::Unsigned(8),
        Dtype::I8 => Kind::Signed(1),
        Dtype::I16 => Kind::Signed(2),
        Dtype::I32 => Kind::Signed(4),
        Dtype::I64 => Kind::Signed(8),
        _ => return None,
    };
    Some(DataType { kind, big_endian: false })
}

/// A file of single-precision tensors: names, shapes and entries in row-major order.
///
/// # Panics
/// If a tensor has another number of entries than its shape says.
/// # Examples
/// ```
/// use linstab_analysis::files::encode_safetensors;
/// let bytes = encode_safetensors(&[("factors", &[2, 1], &[1.0, 2.0])]);
/// assert_eq!(&bytes[bytes.len() - 8..], [0, 0, 128, 63, 0, 0, 0, 64]); // 1 and 2
/// ```
pub fn encode_safetensors(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, entries) in tensors {
        assert!(shape.iter().product::<usize>() == entries.len(), "{} entries of {name}", entries.len());
        let start = data.len();
        data.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        let tensor =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert((*name).to_owned(), tensor);
    }
    let mut header = serde_json::Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}
