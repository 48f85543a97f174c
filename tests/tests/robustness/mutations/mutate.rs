//! Damage: random bytes, and what hurts a format that one knows.

use crate::random::Random;

/// What the bytes of an input mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, line by line.
    Text,
    /// A text that says where numbers lie, and numbers.
    Binary,
}

/// Texts in the place of numbers.
const NUMBERS: [&[u8]; 16] = [
    b"0",
    b"-1",
    b"1",
    b"7",
    b"+5",
    b"007",
    b"1e400",
    b"-1e-400",
    b"nan",
    b"inf",
    b"18446744073709551616",
    b"9223372036854775807",
    b"4294967296",
    b"0x10",
    b"1_000",
    b"1.5",
];
/// Bytes that mean something.
const BYTES: [u8; 16] = *b"\0\xFF(){}[]'\",:\n #-";
/// Words that mean something.
const WORDS: [u64; 8] = [0, 1, u64::MAX, 1 << 31, 1 << 32, 1 << 40, 1 << 63, 0x7FF0_0000_0000_0000];

/// One of the originals, damaged once or a few times; rarely all is random.
pub(super) fn mutated(originals: &[Vec<u8>], original: usize, kind: Kind, random: &mut Random) -> Vec<u8> {
    let mut bytes = originals[original].clone();
    if random.below(100) == 0 {
        let kept = random.below(bytes.len().min(64));
        let len = kept + random.below(200);
        bytes.truncate(kept);
        bytes.resize_with(len, || low_byte(random));
        return bytes;
    }
    for _ in 0..=random.below(4) {
        if random.below(2) == 0 && kind == Kind::Text {
            in_lines(&mut bytes, random);
        } else {
            in_bytes(&mut bytes, originals, random);
        }
    }
    bytes
}

fn low_byte(random: &mut Random) -> u8 {
    random.word().to_le_bytes()[0]
}

fn in_bytes(bytes: &mut Vec<u8>, originals: &[Vec<u8>], random: &mut Random) {
    // Headers come first: most damage is done there.
    let end = if random.below(2) == 0 { bytes.len().min(160) } else { bytes.len() };
    let at = random.below(end);
    let length = random.below(16).min(bytes.len() - at);
    match random.below(11) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.of_these(&BYTES),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, low_byte(random)),
        4 => drop(bytes.drain(at..at + length)),
        5 => {
            let piece = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
        6 => {
            let size = random.of_these(&[2, 4, 8]).min(bytes.len() - at);
            let word = if random.below(3) == 0 { random.word() } else { random.of_these(&WORDS) };
            bytes[at..at + size].copy_from_slice(&word.to_le_bytes()[..size]);
        }
        7 => {
            let other = &originals[random.below(originals.len())];
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        8 => bytes.extend((0..=random.below(20)).map(|_| low_byte(random))),
        _ => number(bytes, at, random),
    }
}

/// Replaces the next digits by another number.
fn number(bytes: &mut Vec<u8>, from: usize, random: &mut Random) {
    let Some(start) = (from..bytes.len()).find(|&at| bytes[at].is_ascii_digit()) else { return };
    let end = (start..bytes.len()).find(|&at| !bytes[at].is_ascii_digit()).unwrap_or(bytes.len());
    let new = if random.below(3) == 0 {
        random.below(40).to_string().into_bytes()
    } else {
        random.of_these(&NUMBERS).to_vec()
    };
    drop(bytes.splice(start..end, new));
}

fn in_lines(bytes: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other, lines[at].clone()),
        2 => lines.swap(at, other),
        3 => {
            let end = random.below(lines[at].len() + 1);
            lines[at].truncate(end);
        }
        // A letter of a name.
        4 if !lines[at].is_empty() => {
            let place = random.below(lines[at].len());
            lines[at][place] = b'a' + u8::try_from(random.below(26)).unwrap_or_default();
        }
        _ => {
            let from = random.below(lines[at].len());
            number(&mut lines[at], from, random);
        }
    }
    *bytes = lines.join(&b'\n');
}
