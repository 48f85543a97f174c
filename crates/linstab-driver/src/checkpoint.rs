//! The checkpoint file: the only place that calls bincode.
//!
//! Layout, integers little-endian: magic `LINSTABK`, format version (u32), digest of the program that wrote it
//! (32 bytes), digest of what was being computed (32 bytes), length of the payload (u64), SHA-256 of the payload
//! (32 bytes), payload. The payload is bincode 2.0.1 in its legacy
//! configuration, whose bytes bincode 1.3 and wincode also read. It is written beside the old file and renamed over it,
//! so a killed run leaves either the old or the new one; anything else is damage and is refused by name.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::CheckpointFault;
use crate::files::write_atomically;
use crate::{DriverError, Result};

const MAGIC: &[u8; 8] = b"LINSTABK";
/// Raise it whenever the layout, a stored type or the meaning of a stored number changes.
const FORMAT_VERSION: u32 = 2;
/// bincode allocates what a length in the payload says before it looks for as many bytes. Payloads up to this size
const SMALL: usize = 16 << 20;
/// are not believed to hold more than this; the length of a larger one costs little beside the file.
const LIMIT: usize = 16 * SMALL;
const HEADER_LEN: usize = 8 + 4 + 32 + 32 + 8 + 32;

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

/// Writes `value` as a checkpoint, in place of any earlier one.
///
/// # Errors
/// [`DriverError::Encode`] or [`DriverError::Io`]; the earlier checkpoint is left whole.
pub fn write<T: Serialize>(path: &Path, identity: Identity, value: &T) -> Result<()> {
    let payload = encode(value)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&identity.program);
    bytes.extend_from_slice(&identity.computation);
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&payload));
    bytes.extend_from_slice(&payload);
    write_atomically(path, &bytes)
}

/// The payload of a checkpoint.
///
/// # Errors
/// [`DriverError::Encode`].
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::legacy())
        .map_err(|error| DriverError::Encode { what: "the checkpoint", message: error.to_string() })
}

/// Reads the checkpoint of the computation `identity`; `None` if there is none.
///
/// # Errors
/// [`DriverError::Checkpoint`] if the file is foreign, of another version or computation, truncated or damaged;
/// [`DriverError::Io`] if it cannot be read.
pub fn read<T: DeserializeOwned>(path: &Path, identity: Identity) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DriverError::io("read", path)(error)),
    };
    decode(&bytes, identity)
        .map(Some)
        .map_err(|reason| DriverError::Checkpoint { path: path.to_path_buf(), reason })
}

/// What the contents of a checkpoint of the computation `identity` say.
///
/// # Errors
/// Why they are refused.
pub fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    identity: Identity,
) -> std::result::Result<T, CheckpointFault> {
    let magic = bytes.get(..MAGIC.len()).ok_or(CheckpointFault::Damaged)?;
    if magic != MAGIC {
        return Err(CheckpointFault::Foreign);
    }
    let mut rest = &bytes[MAGIC.len()..];
    if take::<4>(&mut rest)? != FORMAT_VERSION.to_le_bytes() {
        return Err(CheckpointFault::Version);
    }
    if take::<32>(&mut rest)? != identity.program {
        return Err(CheckpointFault::Version);
    }
    if take::<32>(&mut rest)? != identity.computation {
        return Err(CheckpointFault::Configuration);
    }
    let length = u64::from_le_bytes(take::<8>(&mut rest)?);
    let digest = take::<32>(&mut rest)?;
    if rest.len() as u64 != length || Sha256::digest(rest)[..] != digest {
        return Err(CheckpointFault::Damaged);
    }
    let (legacy, limited) = (bincode::config::legacy(), bincode::config::legacy().with_limit::<LIMIT>());
    let decoded = if rest.len() <= SMALL {
        bincode::serde::decode_from_slice(rest, limited)
    } else {
        bincode::serde::decode_from_slice(rest, legacy)
    };
    let (value, used) = decoded.map_err(|_| CheckpointFault::Damaged)?;
    // bincode does not report trailing bytes itself.
    if used == rest.len() { Ok(value) } else { Err(CheckpointFault::Damaged) }
}

fn take<const LEN: usize>(rest: &mut &[u8]) -> std::result::Result<[u8; LEN], CheckpointFault> {
    let (head, tail) = rest.split_first_chunk().ok_or(CheckpointFault::Damaged)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8], identity: Identity) -> CheckpointFault {
        decode::<Vec<Option<f64>>>(bytes, identity).expect_err("the bytes were damaged")
    }

    /// A length that lies, in a payload whose digest is right.
    #[test]
    fn a_length_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let identity = Identity::new("program", &["experiment"]);
        write(&path, identity, &"cells").unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&(1_u64 << 45).to_le_bytes());
        let digest = Sha256::digest(&bytes[HEADER_LEN..]);
        bytes[HEADER_LEN - 32..HEADER_LEN].copy_from_slice(&digest);
        assert_eq!(decode::<String>(&bytes, identity), Err(CheckpointFault::Damaged));
    }

    #[test]
    fn only_the_untouched_file_of_the_same_computation_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let identity = Identity::new("program", &["experiment", "config"]);
        let value = vec![Some(1.5), None, Some(f64::NEG_INFINITY)];
        assert_eq!(read::<Vec<Option<f64>>>(&path, identity).unwrap(), None, "no file yet");
        write(&path, identity, &value).unwrap();
        assert_eq!(read(&path, identity).unwrap(), Some(value));

        let bytes = std::fs::read(&path).unwrap();
        for end in 0..bytes.len() {
            assert_eq!(fault(&bytes[..end], identity), CheckpointFault::Damaged, "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let expected = match at {
                0..8 => CheckpointFault::Foreign,
                8..44 => CheckpointFault::Version,
                44..76 => CheckpointFault::Configuration,
                _ => CheckpointFault::Damaged,
            };
            assert_eq!(fault(&flipped, identity), expected, "bit flipped in byte {at}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(fault(&longer, identity), CheckpointFault::Damaged);
        // Parts are delimited: moving a boundary makes another computation.
        let moved = Identity::new("program", &["experimentc", "onfig"]);
        assert_eq!(fault(&bytes, moved), CheckpointFault::Configuration);
    }
}
