//! What the tests need beside the toolchain: a Chromium, in which the report is looked at.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::FAILURE;

/// How Debian and its relatives install it.
const INSTALL: [&[&str]; 2] =
    [&["apt-get", "update"], &["apt-get", "install", "-y", "--no-install-recommends", "chromium"]];

/// Says what is missing, and installs it: in CI without asking, for a person who says yes, and for nobody else.
pub(crate) fn check() -> Result<(), u8> {
    if present() {
        return Ok(());
    }
    eprintln!("== the tests need a Chromium (on the path, or named in CHROME)");
    let told: Vec<String> = INSTALL.iter().map(|command| command.join(" ")).collect();
    if std::env::var_os("CI").is_none() && !agreed(&told.join(" && ")) {
        eprintln!("error: no Chromium: {}", told.join(" && "));
        return Err(FAILURE);
    }
    for command in INSTALL {
        let status = Command::new(command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("error: `{}` failed", command.join(" "));
            return Err(FAILURE);
        }
    }
    if present() { Ok(()) } else { Err(FAILURE) }
}

fn present() -> bool {
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    std::env::var_os("CHROME").is_some_and(|program| PathBuf::from(program).is_file())
        || names.iter().any(|name| folders.iter().any(|folder| folder.join(name).is_file()))
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
