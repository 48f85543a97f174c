//! What the tests of `linstab analyze` share.
#![expect(clippy::unwrap_used, reason = "a test helper panics to fail a test")]

use std::path::{Path, PathBuf};

use crate::{linstab, output, root, stderr};

/// The example that is shipped.
pub const EXAMPLE: &str = "data/digits-factors.safetensors";

/// A file of per-sample gradients that the readers are tested on.
pub fn fixture(name: &str) -> String {
    root().join("crates/linstab-analysis/tests/fixtures").join(name).to_str().unwrap().to_owned()
}

/// A file written by hand: the header of version 1 and double-precision entries in rows.
pub fn npy(folder: &Path, name: &str, shape: (usize, usize), entries: &[f64]) -> String {
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, {}), }}", shape.0, shape.1);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a command prints that succeeds.
pub fn stdout(arguments: &[&str]) -> String {
    let run = output(linstab(arguments));
    assert!(run.status.success(), "{arguments:?}: {}", stderr(&run));
    String::from_utf8(run.stdout).unwrap()
}

/// Holds that a command is refused with this exit code, and a message in one line that says this.
pub fn refused(arguments: &[&str], code: i32, expected: &str) {
    let run = output(linstab(&[arguments, &["--quiet"]].concat()));
    let message = stderr(&run);
    assert_eq!(run.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(message.contains(expected), "`{expected}` is not in: {message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(run.stdout.is_empty(), "nothing is said on standard output");
}

/// The paths in a folder.
pub fn names(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
