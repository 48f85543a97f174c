//! Analyses under a limit of the system on memory, where going beyond what was allowed ends the program.
//!
//! The limit is on address space (`ulimit -v`), which needs no rights, unlike a control group. It counts more than memory: what the
//! program and its threads reserve without use. That is measured first, on a file of a few numbers.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::parts::{Effort, Line};
use crate::random::Random;
use linstab_tests::stderr;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What a program may take beside its limit: code that is read in late, buffers of files, fragments.
const SLACK: u64 = 8 * MIB;
/// Address space that a thread reserves at its first product of matrices, mostly without use: on the main thread and one worker.
const PRODUCTS: u64 = 2 * 64 * MIB;

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    let stage = match Stage::new(effort) {
        Ok(stage) => stage,
        Err(problem) => {
            return vec![Line {
                what: "memory limits".to_owned(),
                count: 0,
                failures: vec![problem],
                detail: String::new(),
            }];
        }
    };
    let (mut count, mut completed, mut failures) = (0, 0, Vec::new());
    for index in (0..effort.count).take_while(|_| effort.goes_on()) {
        let mut random = Random::of(effort.seed, index);
        match stage.attempt(&mut random) {
            Ok(done) => completed += u64::from(done),
            Err(problem) => failures.push(format!("{index}: {problem}")),
        }
        count += 1;
    }
    let detail = format!(
        "limit on address space (ulimit -v): memory_limit + {} MiB that a tiny file takes + {} MiB that products reserve + {} MiB; {completed} analysed, the others refused in a line",
        stage.reserved / MIB,
        PRODUCTS / MIB,
        SLACK / MIB
    );
    vec![Line {
        what: "memory limits of analyses, under a limit of the system".to_owned(),
        count,
        failures,
        detail,
    }]
}

/// A file and how it is given.
struct Case {
    flags: &'static [&'static str],
    path: PathBuf,
}

struct Stage<'a> {
    effort: Effort<'a>,
    _folder: tempfile::TempDir,
    cases: Vec<Case>,
    /// Address space that is taken whatever is analysed.
    reserved: u64,
}

impl<'a> Stage<'a> {
    fn new(effort: Effort<'a>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = |name: &str, bytes: Vec<u8>| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).map(|()| path).map_err(|error| error.to_string())
        };
        let cases = vec![
            Case { flags: &[], path: file("rows.npy", npy(false, (150, 60_000)))? },
            Case { flags: &[], path: file("columns.npy", npy(true, (150, 60_000)))? },
            Case { flags: &[], path: file("square.npy", npy(false, (700, 900)))? },
            Case { flags: &["--gram"], path: file("gram.npy", identity(800))? },
        ];
        let tiny = file("tiny.npy", npy(false, (3, 4)))?;
        let mut stage = Self { effort, _folder: folder, cases, reserved: 0 };
        let enough =
            |kib: &u64| stage.analyse(&[], &tiny, 64 * MIB, kib * KIB).is_ok_and(|run| run.status.success());
        // To 2 MiB.
        stage.reserved =
            (8..1024).map(|step| 2 * step * KIB).find(enough).ok_or("a tiny file needs 2 GiB")? * KIB;
        // A negative control: without what the analysis is allowed it is stopped.
        let starved = stage.analyse(&[], &stage.cases[2].path, 64 * MIB, stage.reserved + MIB)?;
        if starved.status.success() {
            Err("the limit of the system does not hold".to_owned())
        } else {
            Ok(stage)
        }
    }

    fn analyse(&self, flags: &[&str], path: &Path, limit: u64, address_space: u64) -> Result<Output, String> {
        let path = path.to_str().unwrap_or_default();
        let limit = limit.to_string();
        let words = ["analyze", "--batch-size", "1", "--threads", "1", "--quiet", "--memory-limit", &limit];
        let mut limited = std::process::Command::new("bash");
        limited.args(["-c", &format!("ulimit -v {}; exec \"$@\"", address_space / KIB), "bash"]);
        // One heap: others reserve 64 MiB each without use.
        limited.arg(self.effort.program).args(words).args(flags).arg(path).env("MALLOC_ARENA_MAX", "1");
        limited.output().map_err(|error| error.to_string())
    }

    /// Whether the analysis was completed; it may also be refused in a line.
    fn attempt(&self, random: &mut Random) -> Result<bool, String> {
        let case = &self.cases[random.below(self.cases.len())];
        let limit = (random.between(1.0, 1.0 + 6.5).exp2() * MIB as f64).round() as u64;
        let run = self.analyse(case.flags, &case.path, limit, self.reserved + PRODUCTS + limit + SLACK)?;
        let said = stderr(&run);
        let refused =
            run.status.code() == Some(2) && said.lines().count() == 1 && said.contains("of memory, allowed");
        if run.status.success() || refused {
            return Ok(!refused);
        }
        let name = case.path.file_name().unwrap_or_default().display();
        Err(format!("{name} with {limit} bytes: {} {}", run.status, said.trim()))
    }
}

/// Random-looking numbers in single precision.
fn npy(fortran_order: bool, (rows, columns): (usize, usize)) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let mut bytes =
        header(&format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': ({rows}, {columns}), }}"));
    let number = |at: usize| ((at * 7919) % 1009) as f32 - 504.0;
    bytes.extend((0..rows * columns).flat_map(|at| number(at).to_le_bytes()));
    bytes
}

fn identity(order: usize) -> Vec<u8> {
    let mut bytes =
        header(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({order}, {order}), }}"));
    let entry = |at: usize| f64::from(u8::from(at / order == at % order));
    bytes.extend((0..order * order).flat_map(|at| entry(at).to_le_bytes()));
    bytes
}

fn header(text: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(text.len() + 1).unwrap_or_default().to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(b'\n');
    bytes
}
