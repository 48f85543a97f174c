//! A program of another language that is measured in turns with ours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Answers every line by the seconds that it took; ends when its input does.
pub(crate) struct Peer {
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    process: Child,
}

impl Peer {
    /// Starts `data/bench/<script>`; nothing where it, or a library of its, is not at hand.
    pub(crate) fn start(script: &str, arguments: &[String], num_threads: usize) -> Option<Self> {
        Self::start_as(script, arguments, (num_threads, None))
    }

    /// The same, whose BLAS takes the machine for one of this kind; else it takes the kernels that are best here, whatever the
    /// environment says.
    pub(crate) fn start_as(
        script: &str,
        arguments: &[String],
        (num_threads, core_type): (usize, Option<&str>),
    ) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/bench").join(script);
        let mut command = Command::new(python());
        command.env_remove("OPENBLAS_CORETYPE");
        if let Some(core_type) = core_type {
            command.env("OPENBLAS_CORETYPE", core_type);
        }
        let mut process = command
            .arg(path)
            .args(arguments)
            .env("OPENBLAS_NUM_THREADS", num_threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .ok()?;
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take()?));
        let mut peer = Self { input, output, process };
        peer.seconds().map(|_| peer)
    }

    /// The seconds of one call.
    pub(crate) fn seconds(&mut self) -> Option<f64> {
        self.input.as_mut()?.write_all(b"\n").ok()?;
        let mut line = String::new();
        self.output.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }
}

/// That of `target/bench/venv`, which is made with NumPy and SciPy in it where there is network; else the system's.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/venv");
    let python = folder.join("bin/python");
    if !python.exists() {
        let said = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let made = said(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            && said(Command::new(&python).args(["-m", "pip", "install", "--quiet", "numpy", "scipy"]));
        if !made {
            let _ = std::fs::remove_dir_all(&folder);
            return "python3".into();
        }
    }
    python
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}
