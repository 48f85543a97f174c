//! What the tests need beside the toolchain: a Chromium, in which the report is looked at; a Slurm for `test-slurm`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::FAILURE;

/// How Debian and its relatives install packages.
const UPDATE: &[&str] = &["apt-get", "update"];
const INSTALL: &[&str] = &["apt-get", "install", "-y", "--no-install-recommends"];

/// Says what the tests lack, and installs it.
pub(crate) fn check() -> Result<(), u8> {
    ensure("a Chromium (on the path, or named in CHROME)", present, &["chromium"])
}

/// Says which programs are missing, and installs their packages.
pub(crate) fn programs(what: &str, names: &[&str], packages: &[&str]) -> Result<(), u8> {
    ensure(what, || names.iter().all(|name| on_the_path(name)), packages)
}

/// In CI without asking, for a person who says yes, and for nobody else.
fn ensure(what: &str, present: impl Fn() -> bool, packages: &[&str]) -> Result<(), u8> {
    if present() {
        return Ok(());
    }
    eprintln!("== the tests need {what}");
    let commands = [UPDATE.to_vec(), [INSTALL, packages].concat()];
    let told = commands.each_ref().map(|command| command.join(" ")).join(" && ");
    if std::env::var_os("CI").is_none() && !agreed(&told) {
        eprintln!("error: missing: {what}: {told}");
        return Err(FAILURE);
    }
    for command in commands {
        let status = Command::new(command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!(
                "error: `{}` failed, so this machine cannot have {what}: nothing was tested",
                command.join(" ")
            );
            return Err(FAILURE);
        }
    }
    if present() { Ok(()) } else { Err(FAILURE) }
}

fn present() -> bool {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    std::env::var_os("CHROME").is_some_and(|program| PathBuf::from(program).is_file())
        || names.iter().any(|name| on_the_path(name))
}

fn on_the_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Asks the person at the terminal, if there is one.
fn agreed(commands: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("run `{commands}`? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}
