//! Types of numbers as files hold them.

/// A type of numbers, with its byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataType {
    /// What the bytes of a number mean.
    pub kind: Kind,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
}

/// What the bytes of a number mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// A signed integer of so many bytes.
    Signed(u8),
    /// An unsigned integer of so many bytes.
    Unsigned(u8),
}

impl Kind {
    /// Those that are read, as a refusal lists them.
    pub(super) const SUPPORTED: &str = "supported: f16, bf16, f32, f64 (for labels integers, too)";

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Signed(size) | Self::Unsigned(size) => usize::from(size),
        }
    }

    /// Whether it is a floating-point type, as factors have.
    pub fn is_float(self) -> bool {
        !matches!(self, Self::Signed(_) | Self::Unsigned(_))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F16 => f.write_str("f16"),
            Self::Bf16 => f.write_str("bf16"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Signed(size) => write!(f, "i{}", 8 * size),
            Self::Unsigned(size) => write!(f, "u{}", 8 * size),
        }
    }
}

impl DataType {
    /// The number in the first bytes of `bytes`. Exact, but for integers beyond 2^53.
    ///
    /// # Panics
    /// If there are fewer bytes than the type has.
    #[expect(clippy::cast_possible_wrap, reason = "the bits of a signed integer, read as such")]
    pub fn decode(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match self.kind {
            Kind::F64 => f64::from_bits(bits),
            Kind::Signed(size) => {
                let unused = 64 - 8 * u32::from(size);
                ((bits << unused) as i64 >> unused) as f64
            }
            Kind::Unsigned(_) => bits as f64,
            Kind::F16 | Kind::Bf16 | Kind::F32 => f64::from(self.single(bits)),
        }
    }

    /// All numbers in `bytes`, as [`DataType::decode`] reads each.
    ///
    /// # Panics
    /// If `bytes` does not hold as many entries as `target` has.
    pub fn decode_all(self, bytes: &[u8], target: &mut [f64]) {
        match self.kind {
            Kind::F64 if self.big_endian => each(bytes, target, f64::from_be_bytes),
            Kind::F64 => each(bytes, target, f64::from_le_bytes),
            Kind::F32 if self.big_endian => each(bytes, target, |entry| f64::from(f32::from_be_bytes(entry))),
            Kind::F32 => each(bytes, target, |entry| f64::from(f32::from_le_bytes(entry))),
            _ => self.one_by_one(bytes, target),
        }
    }

    fn one_by_one(self, bytes: &[u8], target: &mut [f64]) {
        let size = self.kind.size();
        assert_eq!(bytes.len(), target.len() * size, "as many entries as there are bytes for");
        for (entry, bytes) in target.iter_mut().zip(bytes.chunks_exact(size)) {
            *entry = self.decode(bytes);
        }
    }

    fn bits(self, bytes: &[u8]) -> u64 {
        let (mut word, size) = ([0; 8], self.kind.size());
        word[..size].copy_from_slice(&bytes[..size]);
        if self.big_endian {
            word[..size].reverse();
        }
        u64::from_le_bytes(word)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the type has at most 32 bits")]
    fn single(self, bits: u64) -> f32 {
        match self.kind {
            Kind::F16 => half::f16::from_bits(bits as u16).to_f32(),
            Kind::Bf16 => half::bf16::from_bits(bits as u16).to_f32(),
            _ => f32::from_bits(bits as u32),
        }
    }
}

/// Decodes entries of a size the compiler knows: at the speed of memory.
fn each<const SIZE: usize>(bytes: &[u8], target: &mut [f64], decode: impl Fn([u8; SIZE]) -> f64) {
    let (entries, rest) = bytes.as_chunks::<SIZE>();
    assert!(rest.is_empty() && entries.len() == target.len(), "as many entries as there are bytes for");
    for (entry, &bytes) in target.iter_mut().zip(entries) {
        *entry = decode(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(kind: Kind, bytes: &[u8]) -> f64 {
        let mut reversed = bytes.to_vec();
        reversed.reverse();
        let big = DataType { kind, big_endian: true }.decode(&reversed);
        let little = DataType { kind, big_endian: false }.decode(bytes);
        assert!(big.to_bits() == little.to_bits(), "{kind} in both byte orders");
        for (bytes, big_endian) in [(bytes, false), (&reversed[..], true)] {
            let mut all = [0.0; 2];
            let data_type = DataType { kind, big_endian };
            data_type.decode_all(&[bytes, bytes].concat(), &mut all);
            assert_eq!(all.map(f64::to_bits), [little.to_bits(); 2], "{kind}, all at once");
        }
        little
    }

    #[test]
    fn known_numbers() {
        let cases: [(Kind, &[u8], f64); 13] = [
            (Kind::F16, &[0x00, 0x3C], 1.0),
            (Kind::F16, &[0x01, 0x00], 2.0_f64.powi(-24)),
            (Kind::F16, &[0xFF, 0x7B], 65504.0),
            (Kind::F16, &[0x00, 0xC2], -3.0),
            (Kind::F16, &[0x00, 0xFC], f64::NEG_INFINITY),
            (Kind::Bf16, &[0x80, 0x3F], 1.0),
            (Kind::Bf16, &[0x49, 0xC0], -3.140_625),
            (Kind::F32, &[0x00, 0x00, 0x20, 0x41], 10.0),
            (Kind::F64, &[0, 0, 0, 0, 0, 0, 0xF8, 0x3F], 1.5),
            (Kind::Signed(1), &[0xFF], -1.0),
            (Kind::Signed(4), &[0xFE, 0xFF, 0xFF, 0xFF], -2.0),
            (Kind::Signed(8), &[3, 0, 0, 0, 0, 0, 0, 0], 3.0),
            (Kind::Unsigned(2), &[0xFF, 0xFF], 65535.0),
        ];
        for (kind, bytes, expected) in cases {
            assert!(decode(kind, bytes).to_bits() == expected.to_bits(), "{kind} {bytes:?}");
        }
        assert!(decode(Kind::F16, &[0x01, 0x7C]).is_nan());
    }
}
