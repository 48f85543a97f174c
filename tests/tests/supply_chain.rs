//! What the project is made of: locked, compiled by the compiler that is promised, and with its licences.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};

use linstab_tests::{cargo, output, root, stderr};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn toml(path: &str) -> toml::Table {
    std::fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
}

/// Every package but ours is from crates.io, with the digest of what was downloaded: the lock file can be audited.
#[test]
fn every_dependency_is_locked_with_a_digest() {
    let lock = toml("Cargo.lock");
    let mut num_ours = 0;
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        match package.get("source").and_then(toml::Value::as_str) {
            None => {
                assert!(name == "xtask" || name.starts_with("linstab-"), "{name} has no source");
                num_ours += 1;
            }
            Some(source) => {
                assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
                assert_eq!(package["checksum"].as_str().unwrap().len(), 64, "{name}");
            }
        }
    }
    assert!(num_ours > 10, "{num_ours} packages of ours");
}

/// Major and minor version.
fn release(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap_or(0))
}

/// The compiler that we promise is new enough for each dependency, of every feature and platform.
#[test]
fn no_dependency_asks_for_a_newer_compiler() {
    assert!(release("1.9") < release("1.95.1"), "versions are numbers, not texts");
    let ours = toml("Cargo.toml")["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    let metadata = output(cargo(&["metadata", "--format-version", "1", "--locked", "--all-features"]));
    assert!(metadata.status.success(), "{}", stderr(&metadata));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let asked = |package: &Value| {
        let asked = package["rust_version"].as_str()?.to_owned();
        Some((asked, package["name"].as_str().unwrap().to_owned()))
    };
    let asked: Vec<(String, String)> =
        metadata["packages"].as_array().unwrap().iter().filter_map(asked).collect();
    assert!(asked.len() > 100, "{} packages say what they need", asked.len());
    let newer: Vec<_> = asked.iter().filter(|(version, _)| release(version) > release(&ours)).collect();
    assert!(newer.is_empty(), "newer than {ours}: {newer:?}");
}

/// Packages go out alone, so each has the licences with it.
#[test]
fn every_crate_has_its_licences() {
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let [own, whole] = [entry.as_ref().unwrap().path(), root().to_path_buf()]
                .map(|folder| std::fs::read(folder.join(licence)));
            assert_eq!(own.unwrap(), whole.unwrap(), "{}", entry.as_ref().unwrap().path().display());
        }
    }
}

/// Files of others, and what is no text: whoever adds one says where it is from.
#[test]
fn data_and_fonts_are_accounted_for() {
    let account = std::fs::read_to_string(root().join("data/LICENSES.md")).unwrap();
    let rows: Vec<Vec<&str>> = account
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split(" | ").collect())
        .collect();
    assert!(rows.len() >= 4, "{account}");
    let mut listed = Vec::new();
    for row in &rows {
        let [path, _, licence, digest] = row[..] else { panic!("four columns: {row:?}") };
        let path = path.trim_matches(['|', ' ', '`']);
        let found = Sha256::digest(std::fs::read(root().join(path)).unwrap());
        let found: String = found.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(digest.trim_matches([' ', '|', '`']), found, "{path} is not what the table says it is");
        assert!(["CC-BY-4.0", "Apache-2.0"].contains(&licence), "{path}: {licence}");
        listed.push(root().join(path));
    }
    let ours = account.split("\nOurs: ").nth(1).unwrap();
    for entry in std::fs::read_dir(root().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let known = listed.iter().any(|file| file.starts_with(&path)) || ours.contains(&format!("`{name}`"));
        assert!(known || name == "data/LICENSES.md", "{name} is not in data/LICENSES.md");
    }
    for font in fonts(&root().join("crates")) {
        assert!(listed.contains(&font), "{} is not in data/LICENSES.md", font.display());
    }
}

/// All fonts below a folder.
fn fonts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(fonts(&path));
        } else if path
            .extension()
            .is_some_and(|ending| ["ttf", "otf", "woff", "woff2"].iter().any(|font| ending == *font))
        {
            found.push(path);
        }
    }
    found
}
