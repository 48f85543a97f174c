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
    ensure("a Chromium (on the path, or named in CHROME)", present, &["chromium"]).map_err(|why| {
        eprintln!("error: {why}");
        FAILURE
    })
}

/// Whether these programs are there, once their packages are installed. CI goes on without them on a machine that cannot have them (no
/// rights to install, no mirror) and says so in a line; a person who asked for the test is told that it failed.
pub(crate) fn programs(what: &str, names: &[&str], packages: &[&str]) -> Result<bool, u8> {
    match ensure(what, || names.iter().all(|name| on_the_path(name)), packages) {
        Ok(()) => Ok(true),
        Err(why) if in_ci() => {
            println!("LEFT OUT: {why}");
            Ok(false)
        }
        Err(why) => {
            eprintln!("error: {why}");
            Err(FAILURE)
        }
    }
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// In CI without asking, for a person who says yes, and for nobody else. The error is a line.
fn ensure(what: &str, present: impl Fn() -> bool, packages: &[&str]) -> Result<(), String> {
    if present() {
        return Ok(());
    }
    eprintln!("== the tests need {what}");
    let commands = [UPDATE.to_vec(), [INSTALL, packages].concat()];
    let told = commands.each_ref().map(|command| command.join(" ")).join(" && ");
    if !in_ci() && !agreed(&told) {
        return Err(format!("missing: {what}: {told}"));
    }
    for command in commands {
        let status = Command::new(command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            let command = command.join(" ");
            return Err(format!(
                "`{command}` failed, so this machine cannot have {what}: nothing was tested"
            ));
        }
    }
    if present() { Ok(()) } else { Err(format!("{what} is missing even after `{told}`")) }
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
