//! An archive around a member, with the checksum that it has, so that the member is looked at.

/// An archive of one stored member.
pub(super) fn archive(name: &str, member: &[u8]) -> Vec<u8> {
    let size = u32::try_from(member.len()).expect("a small member").to_le_bytes();
    let name_len = u16::try_from(name.len()).expect("a short name").to_le_bytes();
    // Version, flags, method, time, date; checksum and sizes; lengths of the name and of what is extra.
    let common = [
        &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
        &crc32(member).to_le_bytes(),
        &size,
        &size,
        &name_len,
        &[0, 0],
    ]
    .concat();
    let mut bytes = [b"PK\x03\x04", &common[..], name.as_bytes(), member].concat();
    let start = u32::try_from(bytes.len()).expect("a small archive").to_le_bytes();
    let entry = [b"PK\x01\x02\x14\x00", &common[..], &[0; 14], name.as_bytes()].concat();
    let entry_len = u32::try_from(entry.len()).expect("a small entry").to_le_bytes();
    bytes.extend(entry);
    bytes.extend([b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &entry_len, &start, &[0, 0]].concat());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}
