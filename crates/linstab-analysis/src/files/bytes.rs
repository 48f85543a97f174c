//! The bytes of a file, of a stream that was read into memory, or of an array that a caller holds.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

/// Bytes that can be read from any place.
#[derive(Debug)]
pub(crate) enum Bytes<'a> {
    File(File),
    Memory(Cursor<Vec<u8>>),
    Borrowed(Cursor<&'a [u8]>),
}

impl<'a> Bytes<'a> {
    pub(crate) fn borrowed(bytes: &'a [u8]) -> Self {
        Self::Borrowed(Cursor::new(bytes))
    }

    pub(crate) fn in_memory(bytes: Vec<u8>) -> Self {
        Self::Memory(Cursor::new(bytes))
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.get_ref().len() as u64),
            Self::Borrowed(bytes) => Ok(bytes.get_ref().len() as u64),
        }
    }

    /// Fills `target` with the bytes from `offset` on; an error if there are too few.
    pub(crate) fn read_at(&mut self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.read_exact(target)
    }

    /// Bytes that are held in memory, a caller's not counted.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::File(_) | Self::Borrowed(_) => 0,
            Self::Memory(bytes) => bytes.get_ref().len() as u64,
        }
    }

    /// The first bytes, at most so many.
    pub(crate) fn head(&mut self, longest: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.rewind()?;
        self.take(longest).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Bytes<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(target),
            Self::Memory(bytes) => bytes.read(target),
            Self::Borrowed(bytes) => bytes.read(target),
        }
    }
}

impl Seek for Bytes<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Memory(bytes) => bytes.seek(to),
            Self::Borrowed(bytes) => bytes.seek(to),
        }
    }
}
