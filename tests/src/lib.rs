//! Whole-program tests: helpers; the tests are in `tests/`.
#![expect(clippy::missing_panics_doc, reason = "test helpers panic to fail a test")]
#![expect(clippy::disallowed_types, reason = "seeds of tests follow the calendar")]

pub mod analyze;
pub mod browser;
pub mod week;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies below the workspace root")
}

/// A command that runs the optimised `linstab` at the workspace root; it is built once if need be.
pub fn linstab(arguments: &[&str]) -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let build = cargo(&["build", "--release", "--quiet", "-p", "linstab-cli"]).status();
        assert!(build.is_ok_and(|status| status.success()), "linstab builds");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        root().join(target).join("release").join("linstab")
    });
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).env_remove("RUST_LOG").env("RUST_BACKTRACE", "0");
    command
}

/// A command that runs cargo at the workspace root.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).env("RUST_BACKTRACE", "0");
    command
}

/// Runs a command to its end.
pub fn output(mut command: Command) -> Output {
    command.output().expect("the program starts")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with the shipped configurations, in which texts of `stability-map.toml` are replaced by others.
pub fn configs_with(replacements: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(root().join("data/configs")).expect("the shipped configurations") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a file below the folder");
        std::fs::copy(&path, folder.path().join(name)).expect("a writable temporary folder");
    }
    let mut text = std::fs::read_to_string(root().join("data/configs/stability-map.toml"))
        .expect("the shipped configuration");
    for (from, to) in replacements {
        assert!(text.contains(from), "the configuration no longer holds `{from}`");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(folder.path().join("stability-map.toml"), text).expect("a writable temporary folder");
    folder
}

/// Makes the experiment `digits` as small as can be, in a folder of configurations; without steps of polishing it fails.
pub fn small_digits(folder: &Path, max_polish_steps: usize) {
    let digits = root().join("data/digits/digits.csv");
    let path = folder.join("digits.toml");
    let text = std::fs::read_to_string(&path).expect("the shipped configuration");
    let replacements = [
        ("\"../digits/digits.csv\"", format!("{:?}", digits.to_str().expect("a path in UTF-8"))),
        ("max_polish_steps = 100", format!("max_polish_steps = {max_polish_steps}")),
        ("max_rounds = 5 ", "max_rounds = 1 ".to_owned()),
        (
            "contenders = [\"sgd\", \"momentum\", \"nesterov\", \"sam\", \"normalised-sam\", \"sgd-reshuffled\"]",
            "contenders = [\"sgd\"]".to_owned(),
        ),
        ("batch_sizes = [50, 100]", "batch_sizes = [100]".to_owned()),
    ];
    let text = replacements.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "the configuration no longer holds `{from}`");
        text.replacen(from, to, 1)
    });
    std::fs::write(path, text).expect("a writable folder");
}

/// All files below a folder but the manifest, which holds times.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in std::fs::read_dir(current).expect("a folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("manifest.json") {
                let name = path.strip_prefix(folder).expect("it lies below").to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path).expect("a readable file"));
            }
        }
    }
    files
}

/// Replacements that leave the SGD map of the shipped configuration.
pub const ONLY_SGD: [(&str, &str); 3] = [
    (r#"["sgd", "random-perturbation", "sam"]"#, r#"["sgd"]"#),
    (r#"["without-replacement", "bernoulli", "reshuffling"]"#, r#"["without-replacement"]"#),
    ("[0.5, 0.8]", "[0.5]"),
];

/// The library example of the README is a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
