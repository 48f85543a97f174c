//! What the program is made of: a bill of materials (CycloneDX), and the licences that go with the binary.
//!
//! Both are short enough to be written here, from `cargo tree` and the lock file; the tools that do it take minutes to build.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Outcome, failed, folder, read, stdout, value};
use crate::{FAILURE, root};

/// The crate of the program.
const PROGRAM: &str = "linstab-cli";

/// A crate that is part of the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    name: String,
    version: String,
    licence: String,
    ours: bool,
}

/// Writes both beside one another. The wheel has its own bill, made by maturin.
pub(super) fn write() -> Result<Outcome, u8> {
    let arguments =
        ["tree", "--locked", "-p", PROGRAM, "-e", "normal", "--prefix", "none", "--format", "{p}|{l}"];
    let tree = stdout(Command::new("cargo").args(arguments).current_dir(root()))?;
    let parts: BTreeSet<Part> = tree.lines().filter_map(Part::of_tree).collect();
    let time = stdout(Command::new("git").args(["log", "-1", "--format=%cI"]).current_dir(root()))?;
    let bill = bill_of_materials(&parts, &read(&root().join("Cargo.lock"))?, time.trim()).ok_or(FAILURE)?;
    let (texts, without) = licences(&parts)?;
    let place = folder("materials");
    std::fs::create_dir_all(&place).map_err(|error| failed(&place, &error))?;
    for (name, text) in [("linstab.cdx.json", bill), ("THIRD-PARTY-LICENSES.txt", texts)] {
        let path = place.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    let without = if without.is_empty() { "none".to_owned() } else { without.join(", ") };
    Ok(Outcome::Passed(format!(
        "{} crates; without a text of the licence in their package: {without}",
        parts.len()
    )))
}

impl Part {
    /// Of a line of the tree.
    fn of_tree(line: &str) -> Option<Self> {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
        let mut words = package.split_whitespace();
        let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
        let ours = words.any(|word| word.starts_with("(/") || word.contains(":\\"));
        // As licences were joined before there was a rule for it.
        Some(Self { name, version, licence: licence.replace('/', " OR "), ours })
    }

    /// Its address in the terms of package URLs, which names it in the bill, too.
    fn address(&self) -> String {
        // A plus sign means a blank there.
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

/// The bill in CycloneDX 1.5: each crate with its licence, the digest of its package, and what it depends on.
fn bill_of_materials(parts: &BTreeSet<Part>, lock: &str, time: &str) -> Option<String> {
    let (mut components, mut dependencies) = (Vec::new(), Vec::new());
    let mut program = None;
    for part in parts {
        let entry = lock.split("[[package]]").find(|entry| {
            value(entry, "name") == Some(&part.name) && value(entry, "version") == Some(&part.version)
        })?;
        let address = part.address();
        let digest = value(entry, "checksum").map_or(String::new(), |digest| {
            format!(r#","hashes":[{{"alg":"SHA-256","content":"{digest}"}}]"#)
        });
        let kind = if part.name == PROGRAM { "application" } else { "library" };
        let component = format!(
            r#"{{"type":"{kind}","bom-ref":"{address}","name":"{}","version":"{}","licenses":[{{"expression":"{}"}}],"purl":"{address}"{digest}}}"#,
            part.name, part.version, part.licence
        );
        if part.name == PROGRAM {
            program = Some(component);
        } else {
            components.push(component);
        }
        let needed: Vec<String> =
            needed(entry, parts).map(|part| format!("\"{}\"", part.address())).collect();
        dependencies.push(format!(r#"{{"ref":"{address}","dependsOn":[{}]}}"#, needed.join(",")));
    }
    Some(format!(
        "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,\n\
         \"metadata\":{{\"timestamp\":\"{time}\",\"component\":{}}},\n\
         \"components\":[\n{}],\n\"dependencies\":[\n{}]}}\n",
        program?,
        components.join(",\n"),
        dependencies.join(",\n")
    ))
}

/// The parts of the program that an entry of the lock file depends on, named there with a version if there are several.
fn needed<'a>(entry: &'a str, parts: &'a BTreeSet<Part>) -> impl Iterator<Item = &'a Part> {
    let listed = |line: &'a str| line.strip_prefix(" \"")?.strip_suffix("\",");
    let named = |text: &'a str| {
        let mut words = text.split(' ');
        let (name, version) = (words.next(), words.next());
        parts.iter().find(move |part| {
            Some(part.name.as_str()) == name && version.is_none_or(|version| part.version == version)
        })
    };
    entry.lines().filter_map(listed).filter_map(named)
}

/// Licences of all crates of others, one after the other, and the crates whose packages hold no text.
fn licences(parts: &BTreeSet<Part>) -> Result<(String, Vec<String>), u8> {
    let registry = registry()?;
    let (mut text, mut without) = (String::new(), Vec::new());
    for Part { name, version, licence, .. } in parts.iter().filter(|part| !part.ours) {
        let _ = writeln!(text, "==== {name} {version}: {licence}\n");
        let texts = texts(&registry, &format!("{name}-{version}"));
        if texts.is_empty() {
            without.push(name.to_owned());
        }
        for found in &texts {
            let _ = writeln!(text, "{}\n", found.trim());
        }
    }
    Ok((text, without))
}

/// Where cargo has unpacked packages: a folder a registry.
fn registry() -> Result<Vec<PathBuf>, u8> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).ok_or(FAILURE)?;
    let sources = home.join("registry/src");
    let entries = std::fs::read_dir(&sources).map_err(|error| failed(&sources, &error))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// The files of a package that say what may be done with it, in the order of their names.
fn texts(registry: &[PathBuf], package: &str) -> Vec<String> {
    let legal = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let folders = registry.iter().map(|registry| registry.join(package));
    let Some(Ok(entries)) = folders.map(std::fs::read_dir).find(Result::is_ok) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| legal(path)).collect();
    paths.sort_unstable();
    paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_from_what_is_not() {
        let part = |line| Part::of_tree(line).unwrap();
        let faer = part("faer v0.24.4|MIT/Apache-2.0 (*)");
        assert_eq!((&*faer.name, &*faer.version, &*faer.licence), ("faer", "0.24.4", "MIT OR Apache-2.0"));
        assert!(!faer.ours && !part("serde_derive v1.0.2 (proc-macro)|MIT").ours);
        assert!(part("linstab-linalg v0.1.0 (/home/a/linstab/crates/linstab-linalg)|MIT").ours);
        assert!(Part::of_tree("").is_none());
    }

    #[test]
    fn a_bill_names_parts_digests_and_what_they_need() {
        let lock = "[[package]]\nname = \"linstab-cli\"\nversion = \"0.1.0\"\ndependencies = [\n \"a 1.0.0\",\n \"only-for-tests\",\n]\n\n\
                    [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"12ab\"\n";
        let tree = ["linstab-cli v0.1.0 (/a)|MIT", "a v1.0.0|MIT"];
        let parts: BTreeSet<Part> = tree.into_iter().filter_map(Part::of_tree).collect();
        let bill = bill_of_materials(&parts, lock, "2026-01-01T00:00:00Z").unwrap();
        for part in [
            r#""component":{"type":"application","bom-ref":"pkg:cargo/linstab-cli@0.1.0""#,
            r#""purl":"pkg:cargo/a@1.0.0","hashes":[{"alg":"SHA-256","content":"12ab"}]"#,
            r#"{"ref":"pkg:cargo/linstab-cli@0.1.0","dependsOn":["pkg:cargo/a@1.0.0"]}"#,
        ] {
            assert!(bill.contains(part), "{part} is not in:\n{bill}");
        }
        assert!(bill_of_materials(&parts, "", "").is_none(), "a part that is not locked");
    }
}
