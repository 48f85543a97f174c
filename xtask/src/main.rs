//! The developer's verbs: `cargo xtask <verb>`. Depends on nothing, shells out, builds in seconds.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a command-line tool")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the developer's tool owns clocks and files"
)]

mod guide;
mod lines;
mod needs;
mod processors;
mod python;
mod release;
mod slurm;
mod slurm_test;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const HELP: &str = "\
cargo xtask VERB [ARGUMENTS]

  reproduce   run the experiments of the paper     (cargo xtask reproduce --help); --slurm [--array N]: as a job array
              and a job that gathers, --dry-run prints both
  thresholds  compare the golden thresholds        (cargo xtask thresholds --help)
  bench       run the benchmarks [--only NAME]; writes target/bench/latest.json
  test        everything that must pass before a change lands, but test-torch; --fast: what to run at every save
  python      the part of it that tests the Python package, on NumPy and JAX [arguments for pytest]
  test-torch  the tests of the Python package that need PyTorch, which is installed for them if it is not there
  evidence    restart checkpoints of networks around their thresholds [--quick] [--shard [I/N]] [--torch] [--out DIR] (--help: all);
              writes target/evidence, or adds to what is there
  python-docs build the guide, with the reference of the package and the crates, into target/guide
  test-slurm  shards on a Slurm of two nodes on this machine, with kills; Slurm is installed if it is not there
  test-processors  the same program on emulated processors with narrower vectors: which tables are the same bit by bit; --all: all
              experiments, with the width forced by a debugger
  robustness  try readers, analyses, runs and kills again and again  (cargo xtask robustness --help)
  lines       count the lines of source code, by crate
  release     --dry-run [STEP...]: licences and advisories of dependencies, oldest compiler and dependencies, packages built from
              themselves alone, bill of materials
  ci          test, and all steps of the release
";

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = arguments.split_first() else {
        eprint!("{HELP}");
        return ExitCode::from(USAGE);
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let outcome = match verb.as_str() {
        "reproduce" if rest.contains(&"--slurm") => slurm::reproduce(&rest),
        "reproduce" => {
            let only = rest.iter().any(|argument| argument.starts_with("--only"));
            let out = if only { "target/reproduce-only" } else { "target/reproduce" };
            let defaults = [("--configs", "data/configs"), ("--out", out), ("--readme", "README.md")];
            linstab("reproduce", &rest, &defaults)
        }
        "thresholds" => linstab("thresholds", &rest, &[("--folder", "data/golden")]),
        "bench" => run(&[
            &["cargo", "bench", "--quiet", "-p", "linstab-experiments", "--bench", "suite", "--"],
            &rest[..],
        ]
        .concat()),
        "test" if rest.is_empty() => needs::check().and_then(|()| all(TEST)),
        "python" => python::test(&rest),
        "test-torch" => python::test_torch(&rest),
        "evidence" => python::evidence(&rest),
        "python-docs" if rest.is_empty() => python::docs(),
        "test-slurm" if rest.is_empty() => slurm_test::test(),
        "test" if rest == ["--fast"] => all(FAST),
        "test-processors" => processors::test(&rest),
        "release" => release::release(&rest),
        "robustness" => run(&[&ROBUSTNESS[..], &rest[..]].concat()),
        "lines" if rest.is_empty() => lines::print(root()),
        "ci" if rest.is_empty() => {
            needs::check().and_then(|()| all(TEST)).and_then(|()| release::release(&["--dry-run"]))
        }
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("error: unknown verb or argument `{}`\n\n{HELP}", arguments.join(" "));
            Err(USAGE)
        }
    };
    outcome.map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

/// Built as the tests are, so that nothing is compiled twice.
const ROBUSTNESS: [&str; 10] = [
    "cargo",
    "test",
    "--release",
    "--quiet",
    "--workspace",
    "--all-features",
    "--test",
    "robustness",
    "--",
    "--full",
];

/// Everything that must pass before a change lands. Tests run optimised: that is what is shipped, the dependencies are compiled once for
/// them, for the program that the whole-program tests run and for the lints, and what tests compute takes most of their time.
const TEST: &[&[&str]] = &[
    &["cargo", "fmt", "--all", "--check"],
    &["cargo", "build", "--release", "--quiet", "-p", "linstab-cli"],
    &[
        "cargo",
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ],
    &["cargo", "doc", "--release", "--workspace", "--no-deps", "--all-features", "--quiet"],
    &["cargo", "test", "--release", "--workspace", "--all-features", "--quiet"],
    &["cargo", "xtask", "thresholds"],
    &["cargo", "xtask", "python"],
];

/// What a person runs at every save: formatting, and the tests that stand beside the code, with overflow checks and debug assertions.
const FAST: &[&[&str]] = &[
    &["cargo", "fmt", "--all", "--check"],
    &["cargo", "test", "--workspace", "--all-features", "--lib", "--bins", "--quiet"],
];

fn all(commands: &[&[&str]]) -> Result<(), u8> {
    let begun = Instant::now();
    for command in commands {
        eprintln!("== {}", command.join(" "));
        let stage = Instant::now();
        run(command)?;
        eprintln!("   {:.0} s", stage.elapsed().as_secs_f64());
    }
    eprintln!("all passed, {:.1} min", begun.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// Builds the program optimised and runs it in the caller's folder; paths that are not given are those of the workspace.
fn linstab(verb: &str, arguments: &[&str], defaults: &[(&str, &str)]) -> Result<(), u8> {
    build()?;
    let mut command = Command::new(program());
    command.arg(verb).args(arguments);
    for (flag, path) in defaults {
        let given = |argument: &&str| argument.split('=').next() == Some(flag);
        if !arguments.iter().any(given) {
            command.arg(flag).arg(root().join(path));
        }
    }
    finish(&mut command)
}

fn build() -> Result<(), u8> {
    // The first build takes minutes: a person sees cargo's progress, a program only what goes wrong.
    let quiet: &[&str] = if std::io::stderr().is_terminal() { &[] } else { &["--quiet"] };
    run(&[&["cargo", "build", "--release", "-p", "linstab-cli"], quiet].concat())
}

fn program() -> PathBuf {
    target().join("release").join("linstab")
}

fn run(command: &[&str]) -> Result<(), u8> {
    finish(
        Command::new(command[0]).args(&command[1..]).current_dir(root()).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn finish(command: &mut Command) -> Result<(), u8> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        // The command has said why; keep its exit code.
        Ok(status) => Err(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILURE)),
        Err(error) => {
            eprintln!("error: cannot run {}: {error}", command.get_program().display());
            Err(FAILURE)
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies below the workspace root")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| root().join(target))
}
