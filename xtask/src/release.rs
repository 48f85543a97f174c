//! `cargo xtask release --dry-run`: everything a release stands on, short of publishing it.
//!
//! What a step makes lies in `target/release-check`. A step that cannot be taken here (no network, no such compiler) says so; it does not
//! pass in silence.

mod materials;
mod packages;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{FAILURE, USAGE, finish, root, target};

/// How a step ended that did not fail: with this to say, or left out for this reason.
enum Outcome {
    Passed(String),
    LeftOut(String),
}

struct Step {
    name: &'static str,
    what: &'static str,
    take: fn() -> Result<Outcome, u8>,
}

const STEPS: &[Step] = &[
    Step {
        name: "dependencies",
        what: "licences, sources, bans and known defects of what we depend on",
        take: deny,
    },
    Step { name: "compiler", what: "the oldest supported compiler", take: compiler },
    Step {
        name: "minimal-versions",
        what: "the oldest dependencies that the manifests allow",
        take: minimal_versions,
    },
    Step { name: "crates", what: "the crates, compiled from their packages alone", take: packages::crates },
    Step {
        name: "sdist",
        what: "the wheel, built from the source distribution alone",
        take: packages::sdist,
    },
    Step { name: "materials", what: "bill of materials and licences of the program", take: materials::write },
];

/// A cargo subcommand and its version. Pinned: a run of today is one of tomorrow.
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");

/// Takes the steps that are named, or all.
pub(crate) fn release(arguments: &[&str]) -> Result<(), u8> {
    let Some((&"--dry-run", names)) = arguments.split_first() else {
        eprintln!("error: `cargo xtask release` publishes nothing: only --dry-run [STEP...] is allowed");
        return Err(USAGE);
    };
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let allowed: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        eprintln!("error: no step `{unknown}`, allowed: {}", allowed.join(", "));
        return Err(USAGE);
    }
    let taken = |step: &&Step| names.is_empty() || names.contains(&step.name);
    let mut told = Vec::new();
    for step in STEPS.iter().filter(taken) {
        eprintln!("== {}: {}", step.name, step.what);
        let begun = Instant::now();
        let outcome = (step.take)().inspect_err(|_| eprintln!("error: no release: {} failed", step.name))?;
        let (mark, words) = match outcome {
            Outcome::Passed(words) => ("passed", words),
            Outcome::LeftOut(why) => ("LEFT OUT", why),
        };
        told.push(format!("{:<17}{mark:<9} {:>4.0} s  {words}", step.name, begun.elapsed().as_secs_f64()));
    }
    println!("{}", told.join("\n"));
    Ok(())
}

/// Where the steps leave what they make.
fn folder(name: &str) -> PathBuf {
    target().join("release-check").join(name)
}

/// `cargo deny`; what its database knows of our dependencies is asked for where it can be reached.
fn deny() -> Result<Outcome, u8> {
    let path = with_tool(DENY)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command
            .args(["deny", "--log-level", "error", "--all-features", "--locked"])
            .args(arguments)
            .env("PATH", &path)
            .current_dir(root());
        command
    };
    finish(&mut deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    // Without a network this fails at once, and must not be taken for a defect.
    let fetched = deny(&["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        let why = "licences, sources and bans pass; the database of advisories cannot be reached, none was looked at";
        return Ok(Outcome::LeftOut(why.to_owned()));
    }
    finish(&mut deny(&["check", "--hide-inclusion-graph", "advisories"]))?;
    Ok(Outcome::Passed("licences, sources, bans, advisories".to_owned()))
}

/// All is built with the compiler at hand. If that is a newer one than the oldest supported, the oldest checks the sources, too.
fn compiler() -> Result<Outcome, u8> {
    let manifest = read(&root().join("Cargo.toml"))?;
    let oldest = value(&manifest, "rust-version").ok_or(FAILURE)?;
    let present = stdout(Command::new("rustc").arg("--version"))?;
    if is_release(&present, oldest) {
        return Ok(Outcome::Passed(format!("the compiler at hand is the oldest supported, {oldest}")));
    }
    // A toolchain is named as it was asked for: by its release, or by its first patch.
    let named = [format!("+{oldest}"), format!("+{oldest}.0")];
    let Some(toolchain) = named.iter().find(|toolchain| {
        let asked = Command::new("rustc").args([toolchain, "--version"]).stderr(Stdio::null()).output();
        asked.is_ok_and(|output| is_release(&String::from_utf8_lossy(&output.stdout), oldest))
    }) else {
        let why =
            format!("here is {}; to check with {oldest}: rustup toolchain install {oldest}", present.trim());
        return Ok(Outcome::LeftOut(why));
    };
    let check = [toolchain, "check", "--workspace", "--all-features", "--locked", "--quiet"];
    finish(Command::new("cargo").args(check).current_dir(root()).env("CARGO_TARGET_DIR", target()))?;
    Ok(Outcome::Passed(format!("{oldest} compiles it, and here is {}", present.trim())))
}

/// Whether `rustc --version` is of this release, as "1.95".
fn is_release(version: &str, release: &str) -> bool {
    let number = version.split_whitespace().nth(1).unwrap_or_default();
    number.strip_prefix(release).is_some_and(|patch| patch.starts_with('.') && !patch.contains('-'))
}

/// Checks the workspace with each direct dependency at the lowest version that its requirement admits, and everything else as locked. (Cargo
/// has a resolver for that, which is not stable and takes whatever is newest for the rest.)
fn minimal_versions() -> Result<Outcome, u8> {
    let newer = newer_than_required(&read(&root().join("Cargo.toml"))?, &read(&root().join("Cargo.lock"))?);
    if newer.is_empty() {
        let words = "Cargo.lock holds the oldest of all direct dependencies: everything is compiled and tested with them";
        return Ok(Outcome::Passed(words.to_owned()));
    }
    let copy = folder("minimal-versions");
    copy_sources(&copy)?;
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&copy).env("CARGO_TARGET_DIR", target());
        finish(&mut command)
    };
    for (package, oldest) in &newer {
        cargo(&["update", "--quiet", package, "--precise", oldest])?;
    }
    cargo(&["check", "--workspace", "--all-features", "--locked", "--quiet"])?;
    Ok(Outcome::Passed(format!("{} dependencies older than in Cargo.lock", newer.len())))
}

/// The direct dependencies that are locked at a newer version than their requirement names, as `name@version`, with the version that it
/// names.
fn newer_than_required(manifest: &str, lock: &str) -> Vec<(String, String)> {
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let required = section.lines().filter(|line| !line.contains("path = ")).filter_map(|line| {
        let (name, rest) = line.split_once(" = ")?;
        Some((name, rest.split('"').nth(1)?))
    });
    let locked = |name: &str, oldest: &str| {
        let named = |package: &&str| value(package, "name") == Some(name);
        let mut versions =
            lock.split("[[package]]").filter(named).filter_map(|package| value(package, "version"));
        versions.find(|version| compatible(version, oldest)).map(str::to_owned)
    };
    let newer = |(name, oldest): (&str, &str)| {
        let locked = locked(name, oldest)?;
        // What follows a plus sign tells nothing of the order.
        let differs = locked.split('+').next() != Some(oldest);
        (differs && !oldest.starts_with('=')).then(|| (format!("{name}@{locked}"), oldest.to_owned()))
    };
    required.filter_map(newer).collect()
}

/// Whether a requirement of one version admits the other: they agree up to the first number that is not zero.
fn compatible(version: &str, other: &str) -> bool {
    let leading = |text: &str| -> Vec<String> {
        let numbers: Vec<&str> = text.split('.').collect();
        let first = numbers.iter().position(|number| *number != "0").unwrap_or(numbers.len() - 1);
        numbers[..=first].iter().map(|number| (*number).to_owned()).collect()
    };
    leading(version) == leading(other)
}

/// A fresh copy of the files that are under version control, as they lie here.
fn copy_sources(to: &Path) -> Result<(), u8> {
    let _ = std::fs::remove_dir_all(to);
    let names = stdout(Command::new("git").args(["ls-files", "-z"]).current_dir(root()))?;
    for name in names.split('\0').filter(|name| root().join(name).is_file()) {
        let path = to.join(name);
        let folder = path.parent().unwrap_or(to);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::copy(root().join(name), &path))
            .map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// The path with a cargo subcommand of this version on it; it is built below the target folder, once.
fn with_tool((name, version): (&str, &str)) -> Result<std::ffi::OsString, u8> {
    let tools = target().join("tools").join(format!("{name}-{version}"));
    let programs = tools.join("bin");
    if !programs.join(name).is_file() {
        eprintln!("== building {name} {version}, once");
        let install = ["install", "--quiet", "--locked", "--version", version, name, "--root"];
        finish(Command::new("cargo").args(install).arg(&tools).current_dir(root()))?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).map_err(|_| FAILURE)
}

/// The text of `key = "text"` on a line of its own.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let of = |line: &'a str| {
        line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim().strip_prefix('"')?.strip_suffix('"')
    };
    text.lines().find_map(of)
}

fn stdout(command: &mut Command) -> Result<String, u8> {
    let output = command.stderr(Stdio::inherit()).output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(_) => Err(FAILURE),
        Err(error) => {
            eprintln!("error: cannot run {}: {error}", command.get_program().display());
            Err(FAILURE)
        }
    }
}

fn read(path: &Path) -> Result<String, u8> {
    std::fs::read_to_string(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> u8 {
    eprintln!("error: {}: {error}", path.display());
    FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_told_apart() {
        assert!(is_release("rustc 1.95.0 (abc 2026-01-01)", "1.95"));
        for other in ["rustc 1.96.0 (abc 2026-01-01)", "rustc 1.9.5", "rustc 1.95.0-nightly (abc)", ""] {
            assert!(!is_release(other, "1.95"), "{other}");
        }
    }

    #[test]
    fn what_is_locked_newer_than_required_is_found() {
        let manifest = "[workspace.dependencies]\na = \"1.2.0\"\nb = { version = \"0.3.1\", features = [\"x\"] }\nc = \"=2.0.0\"\n\
                        ours = { version = \"0.1.0\", path = \"ours\" }\n[profile.dev]\nd = \"1.0.0\"\n";
        let lock = |versions: [&str; 4]| {
            let package =
                |(name, version)| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n");
            ["a", "a", "b", "c"].into_iter().zip(versions).map(package).collect::<String>()
        };
        assert!(newer_than_required(manifest, &lock(["0.9.0", "1.2.0+meta", "0.3.1", "2.0.0"])).is_empty());
        let newer = newer_than_required(manifest, &lock(["2.0.0", "1.10.0", "0.3.4", "2.0.0"]));
        let expected =
            [("a@1.10.0", "1.2.0"), ("b@0.3.4", "0.3.1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(newer, expected);
        assert!(
            !compatible("0.3.1", "0.4.0") && !compatible("1.0.0", "2.0.0") && compatible("0.0.7", "0.0.7")
        );
    }

    #[test]
    fn nothing_is_published_and_no_step_is_made_up() {
        assert_eq!(release(&[]), Err(USAGE));
        assert_eq!(release(&["--dry-run", "no-such-step"]), Err(USAGE));
    }
}
