//! What is published, built from what is published: packages of crates and the source distribution for Python.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Outcome, failed, folder, read, value};
use crate::python::{Environment, package, python};
use crate::{FAILURE, finish, root, target};

/// Packs the crates that are published, and compiles them from their packages: a workspace that holds nothing else, with our packages in the
/// place of those of the registry. (Cargo's own verification does it once a crate, every time with all dependencies anew.)
pub(super) fn crates() -> Result<Outcome, u8> {
    let names = published()?;
    let mut command = Command::new("cargo");
    command.args(["package", "--no-verify", "--locked", "--allow-dirty", "--quiet"]).current_dir(root());
    finish(command.args(names.iter().flat_map(|name| ["--package", name])))?;
    let place = folder("packages");
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).map_err(|error| failed(&place, &error))?;
    let manifest = read(&root().join("Cargo.toml"))?;
    let version = value(&manifest, "version").ok_or(FAILURE)?;
    for name in &names {
        let archive = target().join("package").join(format!("{name}-{version}.crate"));
        let mut unpack = Command::new(python());
        finish(unpack.args(["-m", "tarfile", "--extract"]).arg(archive).arg(&place))?;
    }
    // Profiles as here: then what is compiled of dependencies for one is there for the other.
    let profiles = manifest.find("[profile.").map_or("", |at| &manifest[at..]);
    write(&place.join("Cargo.toml"), &workspace(&names, version, profiles))?;
    // The versions of dependencies are those that everything else is tested with.
    write(&place.join("Cargo.lock"), &read(&root().join("Cargo.lock"))?)?;
    let check = ["check", "--workspace", "--all-features", "--quiet"];
    finish(Command::new("cargo").args(check).current_dir(&place).env("CARGO_TARGET_DIR", target()))?;
    Ok(Outcome::Passed(format!("{} crates", names.len())))
}

/// The manifest of the unpacked packages.
fn workspace(names: &[String], version: &str, profiles: &str) -> String {
    let mut patches = String::new();
    for name in names {
        let _ = writeln!(patches, "{name} = {{ path = \"{name}-{version}\" }}");
    }
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"linstab-*\"]\n\n[patch.crates-io]\n{patches}\n{profiles}"
    )
}

fn write(path: &Path, text: &str) -> Result<(), u8> {
    std::fs::write(path, text).map_err(|error| failed(path, &error))
}

/// The crates that say nothing against it.
fn published() -> Result<Vec<String>, u8> {
    let crates = root().join("crates");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&crates).map_err(|error| failed(&crates, &error))?.flatten() {
        if !read(&entry.path().join("Cargo.toml"))?.contains("\npublish = false\n") {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes the source distribution, unpacks it, builds a wheel of it as `pip install` does, and imports the package from there.
pub(super) fn sdist() -> Result<Outcome, u8> {
    let environment = Environment::of_tests()?;
    let place = folder("sdist");
    let _ = std::fs::remove_dir_all(&place);
    let mut pack = Command::new(environment.program("maturin"));
    finish(pack.args(["sdist", "--out"]).arg(&place).current_dir(package()))?;
    let archive = only_entry(&place)?;
    environment.run(&["-m", "tarfile", "--extract", &archive.to_string_lossy(), "."], &place)?;
    // Always the same folder, so that the builds of our crates from it replace one another.
    let sources = place
        .join(archive.file_name().map(|name| name.to_string_lossy().replace(".tar.gz", "")).ok_or(FAILURE)?);
    let wheels = place.join("wheels");
    environment.pip_in(&["wheel", "--no-deps", "--wheel-dir", &wheels.to_string_lossy(), "."], &sources)?;
    let (wheel, installed) = (only_entry(&wheels)?, place.join("installed"));
    let installed = installed.to_string_lossy();
    environment
        .pip_in(&["install", "--no-deps", "--target", &installed, &wheel.to_string_lossy()], &place)?;
    environment.run(&["-c", &check(&installed)], &place)?;
    Ok(Outcome::Passed(wheel.file_name().unwrap_or_default().to_string_lossy().into_owned()))
}

/// That the package works, and that the wheel has its licences and its bill of materials.
fn check(installed: &str) -> String {
    format!(
        "import sys; sys.path.insert(0, {installed:?})\n\
         import importlib.metadata, numpy, linstab\n\
         assert linstab.__file__.startswith({installed:?}), linstab.__file__\n\
         assert linstab.analyze(numpy.eye(4)).sharpness > 0\n\
         files = [str(file) for file in importlib.metadata.files('linstab')]\n\
         for part in 'LICENSE-MIT', 'LICENSE-APACHE', '.cyclonedx.json':\n    \
         assert any(file.endswith(part) for file in files), part\n"
    )
}

fn only_entry(folder: &Path) -> Result<PathBuf, u8> {
    let mut entries = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?.flatten();
    entries.next().map(|entry| entry.path()).ok_or(FAILURE)
}
