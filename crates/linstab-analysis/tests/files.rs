//! Files as NumPy and others write them, and files that are damaged.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};

use linstab_analysis::files::{self, Block, FactorFile};
use linstab_analysis::observer::Unobserved;
use linstab_analysis::{AnalysisError, Grams, Plan, Request, Sizes, Work, analyse};

const LIMIT: usize = 64 << 20;
const SAMPLES: usize = 3;
const FACTORS: usize = 2;
const PARAMETERS: usize = 5;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn fixtures() -> Vec<String> {
    let names = std::fs::read_dir(fixture("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// What `generate.py` puts at sample `i`, factor `q`, parameter `p`.
fn entry(i: usize, q: usize, p: usize) -> f64 {
    (((7 * (10 * i + 5 * q + p)) % 23) as f64 - 11.0) / 2.0
}

fn open(name: &str, tensor: Option<&str>) -> FactorFile<'static> {
    FactorFile::new(files::open(&fixture(name), tensor, "factors", LIMIT).unwrap()).unwrap()
}

fn check(name: &str, tensor: Option<&str>, num_factors: usize) {
    let mut file = open(name, tensor);
    let found = (file.num_samples(), file.num_factors(), file.num_parameters());
    assert_eq!(found, (SAMPLES, num_factors, PARAMETERS), "{name}");
    let whole = file.read_all().unwrap();
    for i in 0..SAMPLES {
        for q in 0..num_factors {
            for p in 0..PARAMETERS {
                let found = whole[(i * num_factors + q, p)];
                assert!(found.to_bits() == entry(i, q, p).to_bits(), "{name}: ({i}, {q}, {p}) is {found}");
            }
        }
    }
    // The same in blocks.
    let mut block = Block::default();
    file.read_block(2..4, &mut block).unwrap();
    let view = block.view();
    for row in 0..SAMPLES * num_factors {
        for at in 0..2 {
            let found = view[(row, at)];
            assert!(found.to_bits() == whole[(row, 2 + at)].to_bits(), "{name} in blocks: ({row}, {at})");
        }
    }
}

#[test]
fn every_type_order_and_version_is_read() {
    let cubes: Vec<String> = fixtures().into_iter().filter(|name| name.starts_with("cube-")).collect();
    assert_eq!(cubes.len(), 3 * 2 * 2 * 3 + 4, "{cubes:?}");
    for name in cubes {
        check(&name, None, FACTORS);
    }
    for memory in ["C", "F"] {
        check(&format!("flat-f4-little-{memory}-v1.npy"), None, 1);
    }
    for tensor in ["F16", "BF16", "F32", "F64"] {
        check("cube.safetensors", Some(tensor), FACTORS);
    }
    check("several.npz", Some("cube"), FACTORS);
    check("several.npz", Some("flat"), 1);
}

#[test]
fn labels_are_integers() {
    let from = |name: &str| files::open(&fixture(name), None, "labels", LIMIT).unwrap().labels();
    assert_eq!(from("labels.npy").unwrap(), [4, -1, 4]);
    assert_eq!(from("several.npz").unwrap(), [4, -1, 4]);
    assert!(from("cube-f8-little-C-v1.npy").is_err(), "not a vector");
}

fn refusal(name: &str, tensor: Option<&str>) -> AnalysisError {
    files::open(&fixture(name), tensor, "factors", LIMIT)
        .and_then(FactorFile::new)
        .and_then(|mut file| file.read_all())
        .unwrap_err()
}

#[test]
fn what_cannot_be_taken_is_named() {
    let cases = [
        ("refused-objects.npy", None, "never unpickled"),
        ("refused-records.npy", None, "records"),
        ("refused-complex.npy", None, "c8"),
        ("refused-integers.npy", None, "type i32, supported: f16, bf16, f32, f64"),
        ("refused-one-dimension.npy", None, "shape [4], allowed: (samples, parameters)"),
        ("refused-empty.npy", None, "at least one sample"),
        ("refused-nan.npy", None, "sample 1, factor 0, parameter 3 is NaN"),
        ("refused-infinity.npy", None, "sample 2, factor 0, parameter 4 is -inf"),
        ("several.npz", None, "name one of them with --tensor: cube, flat, labels"),
        ("several.npz", Some("cubes"), "no tensor `cubes`; those there are: cube, flat, labels"),
        ("cube.safetensors", Some("f32"), "BF16, F16, F32, F64"),
        ("labels.npy", Some("x"), "one array without a name"),
        ("generate.py", None, "wrong first bytes"),
        ("", None, "is a folder"),
    ];
    for (name, tensor, expected) in cases {
        let message = refusal(name, tensor).to_string();
        assert!(message.contains(expected), "{name}: `{expected}` is not in: {message}");
        assert!(!message.contains('\n'), "one line: {message}");
    }
}

/// A changed number in a member does not pass its checksum.
#[test]
fn archives_are_what_their_directory_says() {
    let read =
        |name: &str, bytes: Vec<u8>| files::open_in_memory(Path::new(name), bytes, None, "factors", LIMIT);
    for name in ["cube-stored.npz", "cube-deflated.npz"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        assert!(read(name, whole.clone()).is_ok(), "{name}: the control");
        let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        let mut damaged = whole.clone();
        damaged[directory - 20] ^= 1;
        assert!(
            matches!(read(name, damaged), Err(AnalysisError::Damaged { .. })),
            "{name}: a bit of the data"
        );
    }
}

/// A header that names a tensor twice, or two of which share bytes, is refused.
#[test]
fn tensors_are_told_apart() {
    let read = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 24]);
        files::open_in_memory(Path::new("x.safetensors"), bytes, Some("a"), "factors", LIMIT)
    };
    let tensor = |name: &str, start: usize| {
        format!(r#""{name}":{{"dtype":"F32","shape":[3,1],"data_offsets":[{start},{}]}}"#, start + 12)
    };
    assert!(read(&format!("{{{},{}}}", tensor("a", 0), tensor("b", 12))).is_ok(), "the control");
    for second in [tensor("a", 12), tensor("b", 8)] {
        let message = read(&format!("{{{},{second}}}", tensor("a", 0))).unwrap_err().to_string();
        assert!(message.contains("invalid offset for tensor"), "{message}");
    }
}

/// Every proper beginning of a file is refused: nothing reads beyond the end, nothing takes a part for the whole.
#[test]
fn truncated_files_are_refused() {
    for name in [
        "cube-f4-big-F-v2.npy",
        "cube-f8-little-C-v1.npy",
        "cube-deflated.npz",
        "cube-stored.npz",
        "cube.safetensors",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let tensor = name.ends_with("safetensors").then_some("F64");
        let read = |bytes: &[u8]| {
            files::open_in_memory(Path::new(name), bytes.to_vec(), tensor, "factors", LIMIT)
                .and_then(FactorFile::new)
                .and_then(|mut file| file.read_all())
        };
        assert!(read(&whole).is_ok(), "{name}: the control");
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{name} cut to {len} bytes of {}", whole.len());
        }
    }
}

/// A splitmix64 generator: the mutations are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

fn mutated(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 0xFF, b'(', b'9', b'-', b'{'][random.below(6)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next().to_le_bytes()[0]),
            4 if bytes.len() > 8 => {
                let at = random.below(bytes.len() - 8);
                let word = [0, u64::MAX, 1 << 40, random.next()][random.below(4)];
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            _ => {
                let piece = bytes[at.min(bytes.len())..].to_vec();
                bytes.extend(piece.iter().take(random.below(40)));
            }
        }
    }
    bytes
}

/// A hundred thousand damaged files: each is read or refused in one line, and what is read is finite.
#[test]
fn damaged_files_never_panic() {
    let originals: Vec<(String, Vec<u8>)> = fixtures()
        .into_iter()
        .filter(|name| !name.starts_with("generate"))
        .map(|name| (name.clone(), std::fs::read(fixture(&name)).unwrap()))
        .collect();
    let (mut random, mut num_read, mut num_refused) = (Random(2026), 0, 0);
    for round in 0..100_000 {
        let (name, original) = &originals[round % originals.len()];
        let bytes = mutated(original, &mut random);
        let tensor = [None, Some("F32"), Some("cube")][random.below(3)].filter(|_| !name.contains(".npy"));
        let read = files::open_in_memory(Path::new(name), bytes, tensor, "factors", LIMIT)
            .and_then(FactorFile::new)
            .and_then(|mut file| {
                let gram = Plan::new(&file, Work::default(), LIMIT)?.gram(&mut file, 1.0, &Unobserved)?;
                Ok((gram, file))
            });
        match read {
            Ok((gram, file)) => {
                num_read += 1;
                if num_read % 20 == 0 {
                    analysed(&gram, &file);
                }
            }
            Err(error) => {
                assert!(!error.to_string().contains('\n'), "one line: {error}");
                num_refused += 1;
            }
        }
    }
    assert!(num_read > 5_000 && num_refused > 30_000, "{num_read} read, {num_refused} refused");
}

/// Numbers that a mutation made huge may overflow: that is refused, never reported.
fn analysed(gram: &linstab_linalg::Mat<f64>, file: &FactorFile) {
    let sizes = Sizes {
        num_samples: file.num_samples(),
        num_factors: file.num_factors(),
        num_parameters: Some(file.num_parameters()),
    };
    let request = Request { batch_sizes: vec![1], ..Request::default() };
    if let Ok(findings) = analyse(Grams { plain: gram.as_ref(), preconditioned: None }, sizes, &request) {
        let threshold = findings.report.stability[0].max_learning_rate.0;
        assert!(threshold > 0.0 && findings.report.sharpness.is_finite(), "{:?}", findings.report);
    }
}

/// Ten classes of a thousand samples fit into eight gibibytes, the second ensemble of a preconditioner does not.
#[test]
fn what_is_announced_depends_on_what_is_asked_for() {
    let limit = 8 << 30;
    let adam: Vec<linstab_dynamics::Optimizer> = vec!["adam".parse().unwrap()];
    assert!(Plan::of_inner_products(10_000, Work::of_thresholds(2, &[]), limit).is_ok());
    let error = Plan::of_inner_products(10_000, Work::of_thresholds(2, &adam), limit).unwrap_err();
    assert!(matches!(error, AnalysisError::Memory { needed, .. } if needed > 10 << 30), "{error}");
}
