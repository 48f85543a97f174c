//! Files of numbers: `.npy`, `.npz` and `.safetensors`, told apart by their contents, read in blocks of columns.
//!
//! Nothing is memory-mapped: mapping would need unsafe code, and a file that shrinks while it is mapped kills the program. Blocks are
//! read in place, so memory stays within what was allowed.

mod bytes;
mod data_type;
mod gram;
mod npy;
mod npz;
mod safetensors;
mod tensor;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
pub use data_type::{DataType, Kind};
pub use gram::InnerProducts;
pub use safetensors::encode_safetensors;
pub use tensor::{Block, FactorFile, Tensor};

use crate::{AnalysisError, Result};

/// The formats, in the order in which they are tried; a format is one file and one line here.
const FORMATS: &[Format] = &[npy::FORMAT, npz::FORMAT, safetensors::FORMAT];

/// A file format of arrays.
struct Format {
    /// What people call it.
    name: &'static str,
    /// Whether a file that begins with these bytes (16, or all of it) is one.
    recognises: fn(&[u8]) -> bool,
    /// The array that is wanted, unread but for its header.
    tensor: fn(Bytes<'static>, &Wanted<'_>) -> Result<Tensor<'static>>,
}

/// Which array is wanted, and from where.
struct Wanted<'a> {
    path: &'a Path,
    name: Option<&'a str>,
    usual: &'a str,
    memory_limit: usize,
}

impl Wanted<'_> {
    fn damaged(&self, problem: impl Into<String>) -> AnalysisError {
        AnalysisError::damaged(self.path, problem)
    }

    fn unsupported(&self, problem: impl Into<String>) -> AnalysisError {
        AnalysisError::unsupported(self.path, problem)
    }

    /// The name that is meant, among those there are.
    fn choose<'a>(&self, names: &[&'a str]) -> Result<&'a str> {
        let wanted = match (self.name, names) {
            (None, &[only]) => return Ok(only),
            (None, _) => self.usual,
            (Some(name), _) => name,
        };
        if let Some(found) = names.iter().find(|name| **name == wanted) {
            return Ok(found);
        }
        let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Err(self.unsupported(match self.name {
            Some(name) => format!("holds no tensor `{name}`; those there are: {listed}"),
            None => format!("holds several tensors, name one of them with --tensor: {listed}"),
        }))
    }

    /// Refuses what is to be held in memory and does not fit.
    fn require_memory(&self, needed: u64, what: impl FnOnce() -> String) -> Result<()> {
        let limit = self.memory_limit as u64;
        if needed > limit { Err(AnalysisError::Memory { what: what(), needed, limit }) } else { Ok(()) }
    }
}

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
pub fn open(path: &Path, name: Option<&str>, usual: &str, memory_limit: usize) -> Result<Tensor<'static>> {
    let wanted = Wanted { path, name, usual, memory_limit };
    tensor_in(open_bytes(&wanted)?, &wanted)
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
) -> Result<Tensor<'static>> {
    tensor_in(Bytes::in_memory(contents), &Wanted { path, name, usual, memory_limit })
}

fn tensor_in(mut bytes: Bytes<'static>, wanted: &Wanted<'_>) -> Result<Tensor<'static>> {
    let head = bytes.head(16).map_err(AnalysisError::io("read", wanted.path))?;
    let known = FORMATS.iter().find(|format| (format.recognises)(&head));
    if wanted.path.as_os_str() == STANDARD_INPUT && known.is_none_or(|format| format.name != npy::FORMAT.name)
    {
        return Err(wanted.damaged("standard input is not a .npy array: it does not begin with \\x93NUMPY"));
    }
    let Some(format) = known else {
        let names = FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(" nor ");
        return Err(wanted.damaged(format!("is neither {names}: wrong first bytes")));
    };
    (format.tensor)(bytes, wanted)
}

fn open_bytes(wanted: &Wanted<'_>) -> Result<Bytes<'static>> {
    let path = wanted.path;
    if path.as_os_str() == STANDARD_INPUT {
        return read_stream(&mut std::io::stdin().lock(), wanted);
    }
    let mut file = File::open(path).map_err(AnalysisError::io("open", path))?;
    let metadata = file.metadata().map_err(AnalysisError::io("read", path))?;
    if metadata.is_dir() {
        return Err(wanted.unsupported("is a folder, not a file"));
    }
    if metadata.is_file() {
        return Ok(Bytes::File(file));
    }
    read_stream(&mut file, wanted)
}

fn read_stream(stream: &mut dyn std::io::Read, wanted: &Wanted<'_>) -> Result<Bytes<'static>> {
    let mut bytes = Vec::new();
    let limit = (wanted.memory_limit as u64).saturating_add(1);
    stream.take(limit).read_to_end(&mut bytes).map_err(AnalysisError::io("read", wanted.path))?;
    wanted
        .require_memory(bytes.len() as u64, || "a stream (held in memory, which a file is not)".to_owned())?;
    Ok(Bytes::in_memory(bytes))
}
