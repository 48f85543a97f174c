//! Records the compiler and the dependencies that make the program, for manifests.

use std::process::Command;

/// The dependencies whose release can change a number or a picture.
const RECORDED: [&str; 6] = ["faer", "rand", "rand_distr", "rand_pcg", "rayon", "resvg"];

fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version =
        version.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    println!("cargo::rustc-env=LINSTAB_TOOLCHAIN={}", version.trim());
    println!("cargo::rustc-env=LINSTAB_DEPENDENCIES={}", dependencies().join(", "));
    println!("cargo::rerun-if-changed=build.rs");
}

/// "name version" of each recorded dependency, from the lock file of the workspace or of the published package.
fn dependencies() -> Vec<String> {
    let path =
        ["../../Cargo.lock", "Cargo.lock"].into_iter().find(|path| std::path::Path::new(path).is_file());
    let Some(path) = path else { return Vec::new() };
    println!("cargo::rerun-if-changed={path}");
    let lock = std::fs::read_to_string(path).unwrap_or_default();
    let field = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_matches(|c| c == ' ' || c == '=' || c == '"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| Some((field(package, "name")?, field(package, "version")?)))
        .filter(|(name, _)| RECORDED.contains(&name.as_str()))
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}
