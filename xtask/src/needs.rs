//! What the tests need beside the toolchain: a Chromium, in which the report is looked at; a Slurm for `test-slurm`.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::FAILURE;

/// How Debian and its relatives install packages.
const UPDATE: &[&str] = &["apt-get", "update"];
const INSTALL: &[&str] = &["apt-get", "install", "-y", "--no-install-recommends"];

/// Why something is not there.
#[derive(Debug)]
enum Lack {
    /// This machine cannot have it, or nobody said yes.
    NotHad(String),
    /// It was installed and is not there all the same: that is our fault, on every machine.
    Broken(String),
}

/// Says what the tests lack, and installs it.
pub(crate) fn check() -> Result<(), u8> {
    ensure("a Chromium (on the path, or named in CHROME)", present, &["chromium"]).map_err(|lack| {
        let (Lack::NotHad(why) | Lack::Broken(why)) = lack;
        eprintln!("error: {why}");
        FAILURE
    })
}

/// Whether these programs are there, once their packages are installed. CI goes on without them on a machine that cannot have them (no
/// rights to install, no mirror) and says so in a line; a person who asked for the test is told that it failed.
pub(crate) fn programs(what: &str, names: &[&str], packages: &[&str]) -> Result<bool, u8> {
    match ensure(what, || names.iter().all(|name| on_the_path(name)), packages) {
        Ok(()) => Ok(true),
        Err(Lack::NotHad(why)) if in_ci() => {
            println!("LEFT OUT: {why}");
            Ok(false)
        }
        Err(Lack::NotHad(why) | Lack::Broken(why)) => {
            eprintln!("error: {why}");
            Err(FAILURE)
        }
    }
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// In CI without asking, for a person who says yes, and for nobody else. What is said of a lack is a line.
fn ensure(what: &str, present: impl Fn() -> bool, packages: &[&str]) -> Result<(), Lack> {
    if present() {
        return Ok(());
    }
    eprintln!("== the tests need {what}");
    let rights: &[&str] = if is_root() || !on_the_path("sudo") { &[] } else { &["sudo", "-n"] };
    let commands = [[rights, UPDATE].concat(), [rights, INSTALL, packages].concat()];
    let told = commands.each_ref().map(|command| command.join(" ")).join(" && ");
    if !in_ci() && !agreed(&told) {
        return Err(Lack::NotHad(format!("missing: {what}: {told}")));
    }
    for command in &commands {
        install(command).map_err(|why| {
            let command = command.join(" ");
            Lack::NotHad(format!(
                "`{command}` failed ({why}), so this machine cannot have {what}: nothing was tested"
            ))
        })?;
    }
    if present() { Ok(()) } else { Err(Lack::Broken(format!("{what} is missing even after `{told}`"))) }
}

/// Runs a command of the package manager; the error is what it said first.
fn install(command: &[&str]) -> Result<(), String> {
    let mut installer = Command::new(command[0]);
    installer.args(&command[1..]).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    let run = installer.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if run.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    let reason = said.lines().find(|line| line.starts_with("E: ")).or_else(|| said.lines().next());
    Err(reason.map_or_else(|| run.status.to_string(), |line| line.trim_start_matches("E: ").to_owned()))
}

/// Whether packages may be installed as who we are.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn present() -> bool {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    std::env::var_os("CHROME").is_some_and(|program| PathBuf::from(program).is_file())
        || names.iter().any(|name| on_the_path(name))
}

fn on_the_path(name: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| folder.join(name).is_file())
}

/// Where programs are looked for. Daemons lie in a folder that is not on the path of everybody.
pub(crate) fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin");
    path
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

#[cfg(test)]
mod tests {
    use super::{ensure, install, on_the_path};

    #[test]
    fn what_the_package_manager_says_first_is_the_reason() {
        assert_eq!(install(&["true"]), Ok(()));
        let said = "echo 'W: slow' >&2; echo 'E: no such package' >&2; echo 'E: more' >&2; exit 100";
        assert_eq!(install(&["sh", "-c", said]), Err("no such package".to_owned()));
        assert!(install(&["false"]).is_err() && install(&["no-such-program"]).is_err());
    }

    #[test]
    fn what_is_there_is_not_installed() {
        assert!(ensure("a shell", || on_the_path("sh"), &[]).is_ok());
        assert!(!on_the_path("no-such-program"));
    }
}
