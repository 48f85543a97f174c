//! The directory of a `.npz` file, which is a ZIP archive of `.npy` files.
//!
//! Only what NumPy writes is understood: members that are stored or deflated, with the 64-bit extension, on one disk. Source: PKWARE's
//! APPNOTE.TXT.

use std::io;

use super::bytes::Bytes;

const END: &[u8] = b"PK\x05\x06";
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";
const END_64: &[u8] = b"PK\x06\x06";
const MEMBER: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// The end record and the longest comment after it.
const LONGEST_END: u64 = 22 + 0xFFFF;
/// A directory of a few arrays is no larger.
const LONGEST_DIRECTORY: u64 = 16 << 20;

/// A member of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name without `.npy`.
    pub(crate) name: String,
    /// 0 stored, 8 deflated.
    pub(crate) method: u16,
    /// Checksum of its contents.
    pub(crate) crc: u32,
    /// Bytes in the archive, and once inflated.
    pub(crate) packed_size: u64,
    pub(crate) size: u64,
    header: u64,
}

/// The members of an archive; `Err` with what is wrong with it.
pub(crate) fn members(bytes: &mut Bytes) -> io::Result<Result<Vec<Member>, &'static str>> {
    const DAMAGED: &str = "is truncated or damaged: it has no ZIP directory at its end";
    let (at, end) = bytes.tail(LONGEST_END)?;
    let Some(found) = (0..end.len().saturating_sub(21)).rev().find(|&at| end[at..].starts_with(END)) else {
        return Ok(Err(DAMAGED));
    };
    let end_at = at + found as u64;
    let record = &end[found..];
    let (mut size, mut start) = (u64::from(le32(record, 12)), u64::from(le32(record, 16)));
    let mut locator = [0; 20];
    if (start == 0xFFFF_FFFF || size == 0xFFFF_FFFF) && end_at >= 20 {
        bytes.read_at(end_at - 20, &mut locator)?;
        let at = le64(&locator, 8);
        let mut wide = [0; 56];
        if !locator.starts_with(END_64_LOCATOR) || at.saturating_add(56) > bytes.len() {
            return Ok(Err(DAMAGED));
        }
        bytes.read_at(at, &mut wide)?;
        if !wide.starts_with(END_64) {
            return Ok(Err(DAMAGED));
        }
        (size, start) = (le64(&wide, 40), le64(&wide, 48));
    }
    if size > LONGEST_DIRECTORY || start.saturating_add(size) > bytes.len() {
        return Ok(Err(DAMAGED));
    }
    let mut directory = vec![0; usize::try_from(size).unwrap_or_default()];
    bytes.read_at(start, &mut directory)?;
    let mut members = Vec::new();
    let mut rest = &directory[..];
    while rest.starts_with(MEMBER) {
        let Some((member, len)) = member(rest) else { return Ok(Err(DAMAGED)) };
        members.push(member);
        rest = &rest[len..];
    }
    Ok(Ok(members))
}

fn member(record: &[u8]) -> Option<(Member, usize)> {
    let lengths = record.get(28..46)?;
    let (name_len, extra_len, comment_len) = (le16(lengths, 0), le16(lengths, 2), le16(lengths, 4));
    let (name_end, extra_end) =
        (46 + usize::from(name_len), 46 + usize::from(name_len) + usize::from(extra_len));
    let name = String::from_utf8_lossy(record.get(46..name_end)?).into_owned();
    let mut wide = wide_fields(record.get(name_end..extra_end)?);
    let mut field = |at: usize| match le32(record, at) {
        0xFFFF_FFFF => {
            let value = wide.get(..8).map(|bytes| le64(bytes, 0));
            wide = wide.get(8..).unwrap_or_default();
            value
        }
        value => Some(u64::from(value)),
    };
    // The order in which the extension holds those that do not fit.
    let (size, packed_size, header) = (field(24)?, field(20)?, field(42)?);
    let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
    let member = Member { name, method: le16(record, 10), crc: le32(record, 16), packed_size, size, header };
    let len = extra_end + usize::from(comment_len);
    (len <= record.len()).then_some((member, len))
}

/// The 64-bit extension among the extra fields.
fn wide_fields(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (id, len) = (le16(extra, 0), usize::from(le16(extra, 2)));
        let Some(body) = extra.get(4..4 + len) else { break };
        if id == 1 {
            return body;
        }
        extra = &extra[4 + len..];
    }
    &[]
}

impl Member {
    /// Where its bytes begin; `None` if there is no such member at the place the directory names.
    pub(crate) fn data_start(&self, bytes: &mut Bytes) -> io::Result<Option<u64>> {
        let mut local = [0; 30];
        if self.header.saturating_add(30) > bytes.len() {
            return Ok(None);
        }
        bytes.read_at(self.header, &mut local)?;
        let start = self.header + 30 + u64::from(le16(&local, 26)) + u64::from(le16(&local, 28));
        let fits = start.saturating_add(self.packed_size) <= bytes.len();
        Ok((local.starts_with(LOCAL) && fits).then_some(start))
    }
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}
