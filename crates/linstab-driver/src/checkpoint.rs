//! The checkpoint file: the only place that calls bincode.
//!
//! Layout, integers little-endian: magic `LINSTABK`, format version (u32), digest of the program that wrote it
//! (32 bytes), digest of what was being computed (32 bytes), length of the payload (u64), SHA-256 of the payload
//! (32 bytes), payload. The payload is a list in the notation of bincode 2.0.1 in its legacy
//! configuration, whose bytes bincode 1.3 and wincode also read. It is written beside the old file and renamed over it,
//! so a killed run leaves either the old or the new one; anything else is damage and is refused by name.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::files::write_atomically;
use crate::{DriverError, Result};

mod items;

pub use items::{Fault, Items};
pub(crate) use items::{Reopened, open};

const MAGIC: &[u8; 8] = b"LINSTABK";
/// Raise it whenever the layout, a stored type or the meaning of a stored number changes.
const FORMAT_VERSION: u32 = 2;

/// Identifies a computation: a checkpoint continues only the very same one, by the very same program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    program: [u8; 32],
    computation: [u8; 32],
}

impl Identity {
    /// The identity of the computation that `parts` describe in full (experiment, configuration, seed), made by `program`.
    pub fn new(program: &str, parts: &[&str]) -> Self {
        Self { program: digest(&[env!("CARGO_PKG_VERSION"), program]), computation: digest(parts) }
    }
}

impl Identity {
    /// Where the checkpoint of this computation lives: beside those of other configurations, seeds and builds, of which none is
    /// taken for another.
    pub fn path(&self, base: &Path) -> PathBuf {
        let digest = digest_of(&[self.program, self.computation].concat());
        let tag = digest[..4].iter().fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"));
        base.with_extension(format!("{tag}.checkpoint"))
    }
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Digest of a list of texts; the boundaries between them count.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// Writes a list as a checkpoint, in place of any earlier one.
///
/// # Errors
/// [`DriverError::Encode`] or [`DriverError::Io`]; the earlier checkpoint is left whole.
pub fn write<T: Serialize>(path: &Path, identity: Identity, items: &[T]) -> Result<()> {
    let mut bytes = vec![0; items::HEADER_LEN];
    encode(items, &mut bytes)?;
    let (header, payload) = bytes.split_at_mut(items::HEADER_LEN);
    let fields: [&[u8]; 6] = [
        MAGIC,
        &FORMAT_VERSION.to_le_bytes(),
        &identity.program,
        &identity.computation,
        &(payload.len() as u64).to_le_bytes(),
        &Sha256::digest(&*payload),
    ];
    header.copy_from_slice(&fields.concat());
    write_atomically(path, &bytes)
}

/// Appends the payload of a checkpoint.
///
/// # Errors
/// [`DriverError::Encode`].
pub(crate) fn encode<T: Serialize>(items: &[T], bytes: &mut Vec<u8>) -> Result<()> {
    let encoded = bincode::serde::encode_into_std_write(items, bytes, bincode::config::legacy());
    encoded
        .map(drop)
        .map_err(|error| DriverError::Encode { what: "the checkpoint", message: error.to_string() })
}
