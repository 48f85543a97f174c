//! What the program is made of: a bill of materials (CycloneDX), and the licences that go with the binary.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CYCLONEDX, Outcome, copy_sources, failed, folder, read, stdout, with_tool};
use crate::{FAILURE, finish, root};

/// The crate of the program.
const PROGRAM: &str = "linstab-cli";

/// Writes both beside one another. The wheel has its own bill, made by maturin.
pub(super) fn write() -> Result<Outcome, u8> {
    let place = folder("materials");
    std::fs::create_dir_all(&place).map_err(|error| failed(&place, &error))?;
    let bill = bill_of_materials()?;
    let (texts, without) = licences()?;
    for (name, text) in [("linstab.cdx.json", bill), ("THIRD-PARTY-LICENSES.txt", texts)] {
        let path = place.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    let without = if without.is_empty() {
        "none without a text".to_owned()
    } else {
        format!("without a text of their own: {}", without.join(", "))
    };
    Ok(Outcome::Passed(format!("{}; licences: {without}", place.display())))
}

/// The tool writes beside each manifest, so it works on a copy; paths of this machine do not belong into its file, and its time is that
/// of the revision.
fn bill_of_materials() -> Result<String, u8> {
    let path = with_tool(CYCLONEDX)?;
    let copy = folder("source");
    copy_sources(&copy)?;
    let time = stdout(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))?;
    let arguments = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--quiet", "--manifest-path"];
    let manifest = copy.join("crates").join(PROGRAM).join("Cargo.toml");
    let mut command = Command::new("cargo");
    command.args(arguments).arg(manifest).env("PATH", path).env("SOURCE_DATE_EPOCH", time.trim());
    finish(command.current_dir(&copy))?;
    let text = read(&copy.join("crates").join(PROGRAM).join(format!("{PROGRAM}.cdx.json")))?;
    Ok(text.replace(&format!("{}/", copy.display()), ""))
}

/// Licences of all crates that are part of the program, one after the other, and the crates whose packages hold no text.
fn licences() -> Result<(String, Vec<String>), u8> {
    let arguments =
        ["tree", "--locked", "-p", PROGRAM, "-e", "normal", "--prefix", "none", "--format", "{p}|{l}"];
    let tree = stdout(Command::new("cargo").args(arguments).current_dir(root()))?;
    let registry = registry()?;
    let (mut text, mut without) = (String::new(), Vec::new());
    for line in tree.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>() {
        let Some((name, version, licence)) = third_party(line) else { continue };
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

/// Name, version and licence of a line of the tree, unless the crate lies in this workspace.
fn third_party(line: &str) -> Option<(&str, &str, &str)> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let ours = words.any(|word| word.starts_with("(/") || word.contains(":\\"));
    (!ours).then_some((name, version, licence))
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
    use super::third_party;

    #[test]
    fn what_is_ours_is_told_from_what_is_not() {
        assert_eq!(third_party("faer v0.24.4|MIT"), Some(("faer", "0.24.4", "MIT")));
        assert_eq!(
            third_party("serde_derive v1.0.2 (proc-macro)|MIT"),
            Some(("serde_derive", "1.0.2", "MIT"))
        );
        assert_eq!(third_party("linstab-linalg v0.1.0 (/home/a/linstab/crates/linstab-linalg)|MIT"), None);
    }
}
