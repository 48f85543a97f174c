//! Records the source revision, the compiler and the dependencies that make the program, for manifests.

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
    println!("cargo::rustc-env=LINSTAB_REVISION={}", revision().unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
}

/// The revision of the repository that this is built in, with `-dirty` if tracked files were changed.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Only where the workspace itself is the repository: an unpacked package may lie in another one.
    if !std::path::Path::new("../../.git").exists() {
        return None;
    }
    for source in ["../../.git/logs/HEAD", "../../crates", "../../Cargo.toml", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let revision = git(&["rev-parse", "HEAD"])?;
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no", "--", "../../crates", "../../Cargo.lock"])
            .is_none_or(|changes| !changes.is_empty());
    Some(if dirty { format!("{revision}-dirty") } else { revision })
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
