//! The header of a `.safetensors` file: eight bytes of length and a JSON object `{name: {"dtype", "shape", "data_offsets"}}`.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::data_type::{DataType, Kind};

/// The format's own limit.
pub(crate) const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor as the header describes it.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Entry {
    dtype: String,
    pub(crate) shape: Vec<usize>,
    /// Where its bytes begin and end, after the header.
    pub(crate) data_offsets: (u64, u64),
}

impl Entry {
    /// The type of its entries, or the name of one that is not supported.
    pub(crate) fn data_type(&self) -> Result<DataType, &str> {
        let kind = match self.dtype.as_str() {
            "F16" => Kind::F16,
            "BF16" => Kind::Bf16,
            "F32" => Kind::F32,
            "F64" => Kind::F64,
            "BOOL" | "U8" => Kind::Unsigned(1),
            "U16" => Kind::Unsigned(2),
            "U32" => Kind::Unsigned(4),
            "U64" => Kind::Unsigned(8),
            "I8" => Kind::Signed(1),
            "I16" => Kind::Signed(2),
            "I32" => Kind::Signed(4),
            "I64" => Kind::Signed(8),
            other => return Err(other),
        };
        Ok(DataType { kind, big_endian: false })
    }
}

/// The tensors by name, or what is wrong with the header.
pub(crate) fn parse(header: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let Pairs(values) = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (name, value) in values {
        if name == "__metadata__" {
            continue;
        }
        let entry = serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))?;
        if entries.contains_key(&name) {
            return Err(format!("two tensors are called `{name}`"));
        }
        entries.insert(name, entry);
    }
    match overlapping(&entries) {
        Some((one, other)) => Err(format!("the tensors `{one}` and `{other}` overlap")),
        None => Ok(entries),
    }
}

/// Two tensors that share bytes.
fn overlapping(entries: &BTreeMap<String, Entry>) -> Option<(&str, &str)> {
    let mut places: Vec<(u64, u64, &str)> = entries
        .iter()
        .map(|(name, entry)| (entry.data_offsets.0, entry.data_offsets.1, name.as_str()))
        .filter(|(start, end, _)| start < end)
        .collect();
    places.sort_unstable();
    places.windows(2).find(|pair| pair[1].0 < pair[0].1).map(|pair| (pair[0].2, pair[1].2))
}

/// The members of a JSON object in their order, those of the same name, too: a map would keep one of them without a word.
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object with a member for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A file of single-precision tensors: names, shapes and entries in row-major order.
///
/// # Panics
/// If a tensor has another number of entries than its shape says.
/// # Examples
/// ```
/// use linstab_analysis::files::encode_safetensors;
/// let bytes = encode_safetensors(&[("factors", &[2, 1], &[1.0, 2.0])]);
/// assert_eq!(&bytes[bytes.len() - 8..], [0, 0, 128, 63, 0, 0, 0, 64]); // 1 and 2
/// ```
pub fn encode_safetensors(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, entries) in tensors {
        assert!(shape.iter().product::<usize>() == entries.len(), "{} entries of {name}", entries.len());
        let start = data.len();
        data.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        let tensor =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert((*name).to_owned(), tensor);
    }
    let mut header = serde_json::Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}
