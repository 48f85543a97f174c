//! The golden thresholds hold, would notice a wrong factor, and can be blessed.

use std::path::{Path, PathBuf};

use linstab_experiments::golden::{self, GoldenNumber};
use linstab_linalg::Comparison;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/golden")
}

#[test]
fn golden_thresholds_hold() {
    let cases = golden::compare(&shipped()).unwrap();
    assert!(cases.len() > 400, "{} cases", cases.len());
    let moved: Vec<&GoldenNumber> = cases.iter().filter(|case| !case.comparison.holds()).collect();
    assert!(moved.is_empty(), "{moved:?}");
}

/// Negative control: wrong by a factor 2, 1/B, n or (n-1)/n, or in the tenth digit, a number is reported.
#[test]
fn a_wrong_factor_is_caught() {
    for GoldenNumber { comparison: case, .. } in golden::compare(&shipped()).unwrap() {
        for factor in [2.0, 0.5, 1.0 / 5.0, 100.0, 0.99, 1.0 + 1e-10] {
            let wrong = Comparison { found: factor * case.found, ..case.clone() };
            // Zero and minus infinity have no factor; an offset shows there.
            let offset = Comparison { found: case.found.max(-1e300) + 1e-10, ..case.clone() };
            let scalable = case.found.is_finite() && case.found.abs() > 0.0;
            assert!(!wrong.holds() || (!scalable && !offset.holds()), "{} times {factor}", case.name);
        }
    }
}

#[test]
fn blessing_rewrites_what_moved_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.toml");
    let original = std::fs::read_to_string(shipped().join("stability-map.toml")).unwrap();
    let edited = original.replacen("value = 99.0\n", "value = 98.0\n", 1);
    assert_ne!(edited, original);
    std::fs::write(&path, &edited).unwrap();
    assert_eq!(
        golden::compare(folder.path()).unwrap().iter().filter(|case| !case.comparison.holds()).count(),
        1
    );
    let moved = golden::bless(folder.path()).unwrap();
    assert_eq!(moved.len(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), original);
    assert!(golden::bless(folder.path()).unwrap().is_empty(), "nothing is left to bless");
}

#[test]
fn a_bad_golden_file_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), "[[threshold]]\nname = \"x\"\nvalues = 1.0\n").unwrap();
    let message = golden::compare(folder.path()).unwrap_err().to_string();
    assert!(message.contains("bad.toml:3: unknown field `values`"), "{message}");
}
