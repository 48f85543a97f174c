//! `.npz` files: ZIP archives of `.npy` arrays, stored or deflated.

use std::io::{self, Read as _};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::bytes::Bytes;
use super::{Format, Wanted, npy};
use crate::Result;
use crate::files::Tensor;

pub(super) const FORMAT: Format = Format { name: ".npz", recognises: |head| head.starts_with(b"PK"), tensor };

/// A stored member is read in place, a deflated one into memory; either is checked against its checksum here.
fn tensor(mut bytes: Bytes<'static>, wanted: &Wanted<'_>) -> Result<Tensor<'static>> {
    let truncated =
        |_: ZipError| wanted.damaged("is truncated or damaged: it has no ZIP directory at its end");
    let mut archive = ZipArchive::new(&mut bytes).map_err(truncated)?;
    let files = archive.file_names().collect::<std::result::Result<Vec<_>, _>>().map_err(truncated)?;
    let names: Vec<&str> = files.iter().map(|name| name.strip_suffix(".npy").unwrap_or(name)).collect();
    let chosen = wanted.choose(&names)?.to_owned();
    let index = names.iter().position(|name| *name == chosen).unwrap_or_default();
    drop(files);
    let damaged = || wanted.damaged(format!("the member `{chosen}` is truncated or damaged"));
    let mut member = archive.by_index(index).map_err(|error| match error {
        ZipError::UnsupportedArchive(problem) => wanted.unsupported(format!("`{chosen}`: {problem}")),
        _ => damaged(),
    })?;
    let (start, size) = (member.data_start(), member.size());
    match member.compression() {
        CompressionMethod::Stored if size != member.compressed_size() => Err(damaged()),
        CompressionMethod::Stored => {
            io::copy(&mut member, &mut io::sink()).map_err(|_| damaged())?;
            drop(member);
            let start = start.ok_or_else(damaged)?;
            npy::tensor_at(bytes, start..start.saturating_add(size), wanted)
        }
        _ => {
            wanted.require_memory(size, || {
                format!(
                    "the member `{}`, inflated (held in memory, which a stored one is not)",
                    crate::error::plain(&chosen)
                )
            })?;
            let mut inflated = Vec::new();
            member.take(size.saturating_add(1)).read_to_end(&mut inflated).map_err(|_| damaged())?;
            if inflated.len() as u64 != size {
                return Err(damaged());
            }
            npy::tensor_at(Bytes::in_memory(inflated), 0..size, wanted)
        }
    }
}
