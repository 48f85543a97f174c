//! Files of numbers: `.npy`, `.npz` and `.safetensors`, told apart by their contents, read in blocks of columns.
//!
//! Nothing is memory-mapped: mapping would need unsafe code, and a file that shrinks while it is mapped kills the program. Blocks are
//! read in place, so memory stays within what was allowed.

mod bytes;
mod data_type;
mod npy;
mod npz;
mod safetensors;
mod tensor;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
pub use data_type::{DataType, Kind};
pub use safetensors::encode_safetensors;
pub use tensor::{Block, FactorFile, Tensor};

use crate::{AnalysisError, Result};

/// The name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Opens a tensor: the one of this name, or the only one, or the one called `usual`.
///
/// `-` reads a `.npy` array from standard input. What cannot be read from any place (standard input, a pipe, a deflated member) is
/// held in memory, up to `memory_limit` bytes. Members of a `.npz` file are checked against their checksums here, which reads a stored
/// one once more than its product does.
/// # Errors
/// [`AnalysisError::Io`], [`AnalysisError::Damaged`] for a file that is not what it says, [`AnalysisError::Unsupported`] for one that
/// holds something else, among it a missing tensor (the message lists those there are), [`AnalysisError::Memory`].
pub fn open(path: &Path, name: Option<&str>, usual: &str, memory_limit: usize) -> Result<Tensor> {
    tensor_in(path, open_bytes(path, memory_limit)?, name, usual, memory_limit)
}

/// As [`open`], for the contents of a file; `path` is what errors call it.
///
/// # Errors
/// As [`open`].
pub fn open_in_memory(
    path: &Path,
    contents: Vec<u8>,
    name: Option<&str>,
    usual: &str,
    memory_limit: usize,
) -> Result<Tensor> {
    tensor_in(path, Bytes::Memory(contents), name, usual, memory_limit)
}

fn tensor_in(
    path: &Path,
    mut bytes: Bytes,
    name: Option<&str>,
    usual: &str,
    memory_limit: usize,
) -> Result<Tensor> {
    let head = bytes.head(16).map_err(AnalysisError::io("read", path))?;
    if head.starts_with(b"\x93NUMPY") {
        return match name {
            Some(name) => {
                let problem = format!("a .npy file holds one array without a name, not `{name}`");
                Err(AnalysisError::unsupported(path, problem))
            }
            None => npy_tensor(path, bytes, 0, None),
        };
    }
    if path.as_os_str() == STANDARD_INPUT {
        return Err(AnalysisError::damaged(
            path,
            "standard input is not a .npy array: it does not begin with \\x93NUMPY",
        ));
    }
    if head.starts_with(b"PK") {
        return npz_tensor(path, bytes, name, usual, memory_limit);
    }
    if head.get(8) == Some(&b'{') {
        return safetensors_tensor(path, bytes, name, usual);
    }
    let problem = "is neither .npy nor .npz nor .safetensors: wrong first bytes";
    Err(AnalysisError::damaged(path, problem))
}

fn open_bytes(path: &Path, memory_limit: usize) -> Result<Bytes> {
    if path.as_os_str() == STANDARD_INPUT {
        return read_stream(path, &mut std::io::stdin().lock(), memory_limit);
    }
    let mut file = File::open(path).map_err(AnalysisError::io("open", path))?;
    let metadata = file.metadata().map_err(AnalysisError::io("read", path))?;
    if metadata.is_dir() {
        return Err(AnalysisError::unsupported(path, "is a folder, not a file"));
    }
    if metadata.is_file() {
        return Ok(Bytes::File { file, len: metadata.len() });
    }
    read_stream(path, &mut file, memory_limit)
}

fn read_stream(path: &Path, stream: &mut dyn std::io::Read, memory_limit: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let limit = memory_limit as u64;
    stream.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(AnalysisError::io("read", path))?;
    if bytes.len() > memory_limit {
        let what = "a stream (held in memory, which a file is not)".to_owned();
        return Err(AnalysisError::Memory { what, needed: limit.saturating_add(1), limit });
    }
    Ok(Bytes::Memory(bytes))
}

/// The array whose header begins at `start` and whose numbers fill the rest, or `end` bytes.
fn npy_tensor(path: &Path, mut bytes: Bytes, start: u64, end: Option<u64>) -> Result<Tensor> {
    let refused = |refusal| match refusal {
        npy::Refusal::Damaged(problem) => AnalysisError::damaged(path, problem),
        npy::Refusal::Unsupported(problem) => AnalysisError::unsupported(path, problem),
    };
    let end = end.unwrap_or(bytes.len());
    let mut prefix = vec![0; usize::try_from(end.saturating_sub(start).min(12)).unwrap_or_default()];
    bytes.read_at(start, &mut prefix).map_err(AnalysisError::io("read", path))?;
    let header_len = npy::header_len(&prefix).map_err(refused)?;
    if start + header_len as u64 > end {
        return Err(AnalysisError::damaged(path, "is truncated within its .npy header"));
    }
    let mut header = vec![0; header_len];
    bytes.read_at(start, &mut header).map_err(AnalysisError::io("read", path))?;
    let header = npy::parse(&header).map_err(refused)?;
    let data = start + header.offset as u64;
    Tensor::new(path, bytes, data..end, header.data_type, header.fortran_order, header.shape)
}

/// The position of the tensor that is meant.
fn choose<'a>(path: &Path, names: &[&'a str], name: Option<&str>, usual: &str) -> Result<&'a str> {
    let wanted = match (name, names) {
        (None, &[only]) => return Ok(only),
        (None, _) => usual,
        (Some(name), _) => name,
    };
    if let Some(found) = names.iter().find(|name| **name == wanted) {
        return Ok(found);
    }
    let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let problem = match name {
        Some(name) => format!("holds no tensor `{name}`; those there are: {listed}"),
        None => format!("holds several tensors, name one of them with --tensor: {listed}"),
    };
    Err(AnalysisError::unsupported(path, problem))
}

/// The first name that stands twice in a list.
fn repeated<'a>(names: &[&'a str]) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().copied().find(|name| !seen.insert(*name))
}

fn npz_tensor(
    path: &Path,
    mut bytes: Bytes,
    name: Option<&str>,
    usual: &str,
    memory_limit: usize,
) -> Result<Tensor> {
    let members = npz::members(&mut bytes).map_err(AnalysisError::io("read", path))?;
    let members = members.map_err(|problem| AnalysisError::damaged(path, problem))?;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    if let Some(twice) = repeated(&names) {
        return Err(AnalysisError::damaged(path, format!("holds two members called `{twice}`")));
    }
    let chosen = choose(path, &names, name, usual)?;
    let damaged = || AnalysisError::damaged(path, format!("the member `{chosen}` is truncated or damaged"));
    let member = members.iter().find(|member| member.name == chosen).ok_or_else(damaged)?;
    let start = member.data_start(&mut bytes).map_err(AnalysisError::io("read", path))?;
    let start = start.ok_or_else(damaged)?;
    match member.method {
        0 if member.size != member.packed_size => Err(damaged()),
        0 => {
            let found = bytes.crc(start, member.size).map_err(AnalysisError::io("read", path))?;
            if found != member.crc {
                return Err(damaged());
            }
            npy_tensor(path, bytes, start, Some(start + member.size))
        }
        8 => {
            if member.size > memory_limit as u64 {
                let what = format!(
                    "the member `{}`, inflated (held in memory, which a stored one is not)",
                    crate::error::plain(chosen)
                );
                return Err(AnalysisError::Memory { what, needed: member.size, limit: memory_limit as u64 });
            }
            let mut packed = vec![0; usize::try_from(member.packed_size).map_err(|_| damaged())?];
            bytes.read_at(start, &mut packed).map_err(AnalysisError::io("read", path))?;
            let mut inflated = Vec::new();
            let decoder = flate2::read::DeflateDecoder::new(&packed[..]);
            decoder.take(member.size.saturating_add(1)).read_to_end(&mut inflated).map_err(|_| damaged())?;
            let mut crc = flate2::Crc::new();
            crc.update(&inflated);
            if inflated.len() as u64 != member.size || crc.sum() != member.crc {
                return Err(damaged());
            }
            npy_tensor(path, Bytes::Memory(inflated), 0, None)
        }
        other => {
            let problem = format!("`{chosen}` is compressed by method {other}, supported: stored, deflated");
            Err(AnalysisError::unsupported(path, problem))
        }
    }
}

fn safetensors_tensor(path: &Path, mut bytes: Bytes, name: Option<&str>, usual: &str) -> Result<Tensor> {
    let mut length = [0; 8];
    bytes.read_at(0, &mut length).map_err(AnalysisError::io("read", path))?;
    let length = u64::from_le_bytes(length);
    if length > safetensors::LONGEST_HEADER || length.saturating_add(8) > bytes.len() {
        return Err(AnalysisError::damaged(path, "is truncated within its .safetensors header"));
    }
    let mut header = vec![0; usize::try_from(length).unwrap_or_default()];
    bytes.read_at(8, &mut header).map_err(AnalysisError::io("read", path))?;
    let entries = safetensors::parse(&header).map_err(|problem| {
        AnalysisError::damaged(path, format!("has a damaged .safetensors header: {problem}"))
    })?;
    let names: Vec<&str> = entries.keys().map(String::as_str).collect();
    let chosen = choose(path, &names, name, usual)?;
    let entry = &entries[chosen];
    let data_type = entry.data_type().map_err(|found| {
        let problem = format!("`{chosen}` has entries of type {found}, supported: F16, BF16, F32, F64 (for labels integers, too)");
        AnalysisError::unsupported(path, problem)
    })?;
    let (start, end) = entry.data_offsets;
    let (start, end) = (start.saturating_add(8 + length), end.saturating_add(8 + length));
    if start > end || end > bytes.len() {
        return Err(AnalysisError::damaged(path, format!("is truncated: `{chosen}` ends after the file")));
    }
    Tensor::new(path, bytes, start..end, data_type, false, entry.shape.clone())
}
