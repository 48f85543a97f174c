//! The bytes of a file, or of a stream that was read into memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// Bytes that can be read from any place.
#[derive(Debug)]
pub(crate) enum Bytes {
    File { file: File, len: u64 },
    Memory(Vec<u8>),
}

impl Bytes {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `target` with the bytes from `offset` on; an error if there are too few.
    pub(crate) fn read_at(&mut self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File { file, .. } => {
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(target)
            }
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(target.len());
                let source = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
                target.copy_from_slice(source);
                Ok(())
            }
        }
    }

    /// The CRC-32 of so many bytes from `offset` on.
    pub(crate) fn crc(&mut self, offset: u64, len: u64) -> io::Result<u32> {
        const PIECE: u64 = 1 << 20;
        let (mut crc, mut at, end) = (flate2::Crc::new(), offset, offset.saturating_add(len));
        let mut piece = vec![0; usize::try_from(PIECE.min(len)).unwrap_or_default()];
        while at < end {
            piece.truncate(usize::try_from(PIECE.min(end - at)).unwrap_or_default());
            self.read_at(at, &mut piece)?;
            crc.update(&piece);
            at += piece.len() as u64;
        }
        Ok(crc.sum())
    }

    /// Bytes that are held in memory.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::File { .. } => 0,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// The first bytes, at most so many.
    pub(crate) fn head(&mut self, longest: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(longest.min(self.len())).unwrap_or_default()];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The last bytes, at most so many, and where they begin.
    pub(crate) fn tail(&mut self, longest: u64) -> io::Result<(u64, Vec<u8>)> {
        let len = longest.min(self.len());
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        let start = self.len() - len;
        self.read_at(start, &mut bytes)?;
        Ok((start, bytes))
    }
}
