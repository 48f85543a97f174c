//! Reading checkpoints: item by item, so that neither a file nor its list is ever in memory as a whole.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{FORMAT_VERSION, Identity, MAGIC};
use crate::error::CheckpointFault;
use crate::{DriverError, Result};

pub(super) const HEADER_LEN: usize = 8 + 4 + 32 + 32 + 8 + 32;
/// bincode allocates what a length says before it looks for as many bytes, and the digest is known to be right only after the last
/// of them. No item takes more memory than this.
const LARGEST_ITEM: usize = 256 << 20;
/// What is read at a time.
const CHUNK: usize = 64 << 10;

/// Why a checkpoint could not be read.
#[derive(Debug)]
pub enum Fault {
    /// The system did not let us.
    Io(io::Error),
    /// It is not what was looked for.
    Refused(CheckpointFault),
}

impl Fault {
    pub(crate) fn of(self, path: &Path) -> DriverError {
        match self {
            Self::Io(error) => DriverError::io("read", path)(error),
            Self::Refused(reason) => DriverError::Checkpoint { path: path.to_path_buf(), reason },
        }
    }
}

impl From<CheckpointFault> for Fault {
    fn from(reason: CheckpointFault) -> Self {
        Self::Refused(reason)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Refused(CheckpointFault::Damaged),
            _ => Self::Io(error),
        }
    }
}

/// The list of a checkpoint, item by item. Whether the bytes are those that were written is known at the end: until then no item may
/// be relied on.
#[derive(Debug)]
pub struct Items<T, R> {
    payload: BufReader<Digested<R>>,
    /// What the header says of the payload.
    length: u64,
    digest: [u8; 32],
    /// Items that are still to come; none after a fault.
    left: u64,
    ended: bool,
    item: PhantomData<T>,
}

/// The checkpoint of the computation `identity`; `None` if there is none.
///
/// # Errors
/// [`DriverError::Checkpoint`] if the file is foreign, of another version or computation, or shorter than its header;
/// [`DriverError::Io`] if it cannot be read.
pub(crate) fn open<T: DeserializeOwned>(
    path: &Path,
    identity: Identity,
) -> Result<Option<Items<T, Reopened>>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        // A pipe would never end.
        Ok(_) => return Err(Fault::Refused(CheckpointFault::Foreign).of(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::Io(error).of(path)),
    }
    let file = Reopened { path: path.to_path_buf(), at: 0 };
    Items::new(file, identity).map(Some).map_err(|fault| fault.of(path))
}

impl<T: DeserializeOwned, R: Read> Items<T, R> {
    /// Of a checkpoint of the computation `identity`.
    ///
    /// # Errors
    /// That it cannot be read, or why it is refused.
    pub fn new(mut reader: R, identity: Identity) -> std::result::Result<Self, Fault> {
        if take(&mut reader)? != *MAGIC {
            return Err(CheckpointFault::Foreign.into());
        }
        if take(&mut reader)? != FORMAT_VERSION.to_le_bytes() || take(&mut reader)? != identity.program {
            return Err(CheckpointFault::Version.into());
        }
        if take(&mut reader)? != identity.computation {
            return Err(CheckpointFault::Configuration.into());
        }
        let length = u64::from_le_bytes(take(&mut reader)?);
        let digest = take(&mut reader)?;
        let digested = Digested { reader, hasher: Sha256::new(), num_bytes: 0 };
        let mut payload = BufReader::with_capacity(CHUNK, digested);
        let left = u64::from_le_bytes(take(&mut payload)?);
        Ok(Self { payload, length, digest, left, ended: false, item: PhantomData })
    }

    fn item(&mut self) -> std::result::Result<T, Fault> {
        let config = bincode::config::legacy().with_limit::<LARGEST_ITEM>();
        bincode::serde::decode_from_std_read(&mut self.payload, config).map_err(|error| match error {
            bincode::error::DecodeError::Io { inner, .. } => inner.into(),
            _ => CheckpointFault::Damaged.into(),
        })
    }

    /// Whether the list ends where the payload does, which is what was written.
    fn end(&mut self) -> std::result::Result<(), Fault> {
        let at_end = self.payload.fill_buf()?.is_empty();
        let Digested { hasher, num_bytes, .. } = self.payload.get_ref();
        let whole = at_end && *num_bytes == self.length && hasher.clone().finalize()[..] == self.digest;
        if whole { Ok(()) } else { Err(CheckpointFault::Damaged.into()) }
    }
}

impl<T: DeserializeOwned, R: Read> Iterator for Items<T, R> {
    type Item = std::result::Result<T, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = if self.left > 0 {
            self.left -= 1;
            Some(self.item())
        } else {
            self.ended = true;
            self.end().err().map(Err)
        };
        self.ended |= matches!(next, Some(Err(_)));
        next
    }
}

fn take<const LEN: usize>(reader: &mut impl Read) -> std::result::Result<[u8; LEN], Fault> {
    let mut bytes = [0; LEN];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Takes the digest of what passes.
#[derive(Debug)]
struct Digested<R> {
    reader: R,
    hasher: Sha256,
    num_bytes: u64,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let num = self.reader.read(bytes)?;
        self.hasher.update(&bytes[..num]);
        self.num_bytes += num as u64;
        Ok(num)
    }
}

/// A file that is open only while a part of it is read: there may be more shards than a process may have open files. If another takes
/// its place meanwhile, the digest tells.
#[derive(Debug)]
pub(crate) struct Reopened {
    path: PathBuf,
    at: u64,
}

impl Read for Reopened {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let num = file.read(bytes)?;
        self.at += num as u64;
        Ok(num)
    }
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use super::*;

    /// The list in these bytes.
    fn decode<T: DeserializeOwned>(
        bytes: &[u8],
        identity: Identity,
    ) -> std::result::Result<Vec<T>, CheckpointFault> {
        let items = Items::new(bytes, identity).and_then(Iterator::collect);
        items.map_err(|fault| match fault {
            Fault::Refused(reason) => reason,
            Fault::Io(error) => panic!("bytes can be read: {error}"),
        })
    }

    fn read<T: DeserializeOwned>(path: &Path, identity: Identity) -> Option<Vec<T>> {
        let items = open(path, identity).unwrap()?;
        Some(items.map(|item| item.map_err(|fault| fault.of(path)).unwrap()).collect())
    }

    fn fault(bytes: &[u8], identity: Identity) -> CheckpointFault {
        decode::<Option<f64>>(bytes, identity).expect_err("the bytes were damaged")
    }

    /// A length that lies, in a payload whose digest is right: of the list, and of a text in it.
    #[test]
    fn a_length_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let identity = Identity::new("program", &["experiment"]);
        write(&path, identity, &["cells"]).unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(decode::<String>(&whole, identity), Ok(vec!["cells".to_owned()]));
        for at in [HEADER_LEN, HEADER_LEN + 8] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&(1_u64 << 45).to_le_bytes());
            let digest = Sha256::digest(&bytes[HEADER_LEN..]);
            bytes[HEADER_LEN - 32..HEADER_LEN].copy_from_slice(&digest);
            assert_eq!(decode::<String>(&bytes, identity), Err(CheckpointFault::Damaged));
        }
    }

    #[test]
    fn only_the_untouched_file_of_the_same_computation_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let identity = Identity::new("program", &["experiment", "config"]);
        let value = vec![Some(1.5), None, Some(f64::NEG_INFINITY)];
        assert_eq!(read::<Option<f64>>(&path, identity), None, "no file yet");
        write(&path, identity, &value).unwrap();
        assert_eq!(read(&path, identity), Some(value));

        let bytes = fs::read(&path).unwrap();
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

    /// Longer than what is read at a time; then another file takes its place.
    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let identity = Identity::new("program", &["experiment"]);
        let list = |last: u64| (0..30_000).chain([last]).collect::<Vec<u64>>();
        for (last, whole) in [(1, true), (2, false)] {
            write(&path, identity, &list(1)).unwrap();
            let mut items = open::<u64>(&path, identity).unwrap().unwrap();
            assert_eq!(items.next().unwrap().unwrap(), 0);
            write(&path, identity, &list(last)).unwrap();
            let rest: std::result::Result<Vec<u64>, Fault> = items.collect();
            assert_eq!(rest.is_ok_and(|rest| rest == list(1)[1..]), whole);
        }
    }
}
