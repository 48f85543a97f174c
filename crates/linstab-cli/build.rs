//! Records the compiler that builds the program, for manifests.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version =
        version.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    println!("cargo::rustc-env=LINSTAB_TOOLCHAIN={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
