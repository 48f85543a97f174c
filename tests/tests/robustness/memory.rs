//! Analyses under a limit of the system on memory, where going beyond what was allowed ends the program.
//!
//! The limit is on address space (`ulimit -v`), which needs no rights, unlike a control group. It counts more than memory: what the
//! program and its threads reserve without use. That is measured first, on a file of a few numbers. What a control group counts, memory in
//! use, is asked for while the program runs, and has a limit without such reserves.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::parts::{Effort, Line};
use crate::random::Random;
use linstab_tests::stderr;

const WHAT: &str = "memory limits of analyses, under a limit of the system";
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What a program may take beside its limit: code that is read in late, buffers of files, fragments.
const SLACK: u64 = 8 * MIB;
/// Address space that a thread reserves at its first product of matrices, mostly without use: on the main thread and one worker.
const PRODUCTS: u64 = 2 * 64 * MIB;

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    if !effort.wants(WHAT) {
        return Vec::new();
    }
    let stage = match Stage::new(effort) {
        Ok(stage) => stage,
        Err(problem) => {
            return vec![Line {
                what: WHAT.to_owned(),
                count: 0,
                failures: vec![problem],
                detail: String::new(),
            }];
        }
    };
    let (mut count, mut completed, mut failures) = (0, 0, Vec::new());
    let mut closest = 0.0_f64;
    for index in (0..effort.count).take_while(|_| effort.goes_on()) {
        let mut random = Random::of(effort.seed, index);
        match stage.attempt(&mut random) {
            Ok(Some(share)) => {
                completed += 1;
                closest = closest.max(share);
            }
            Ok(None) => {}
            Err(problem) => failures.push(format!("{index}: {problem}")),
        }
        count += 1;
    }
    let detail = format!(
        "limit on address space (ulimit -v): memory_limit + {} MiB that a tiny file takes + {} MiB that products reserve + {} MiB; on memory in use: memory_limit + {} MiB + {} MiB, of which at most {:.0} % were used; {completed} analysed, the others refused in a line",
        stage.reserved / MIB,
        PRODUCTS / MIB,
        SLACK / MIB,
        stage.in_use / MIB,
        SLACK / MIB,
        100.0 * closest
    );
    vec![Line { what: WHAT.to_owned(), count, failures, detail }]
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
    /// Memory that is in use whatever is analysed.
    in_use: u64,
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
        let mut stage = Self { effort, _folder: folder, cases, reserved: 0, in_use: 0 };
        let enough = |kib: &u64| {
            stage.analyse(&[], &tiny, 64 * MIB, kib * KIB).is_ok_and(|run| run.0.status.success())
        };
        // To 2 MiB.
        stage.reserved =
            (8..1024).map(|step| 2 * step * KIB).find(enough).ok_or("a tiny file needs 2 GiB")? * KIB;
        stage.in_use = (0..5)
            .filter_map(|_| Some(stage.analyse(&[], &tiny, 64 * MIB, stage.reserved).ok()?.1))
            .fold(0, u64::max);
        // Negative controls: without what the analysis is allowed it is stopped, and what it uses is seen.
        let (_, seen) = stage.analyse(&[], &stage.cases[0].path, 90 * MIB, 16 * KIB * MIB)?;
        let (starved, _) = stage.analyse(&[], &stage.cases[2].path, 64 * MIB, stage.reserved + MIB)?;
        if starved.status.success() {
            Err("the limit of the system does not hold".to_owned())
        } else if seen < stage.in_use + SLACK {
            Err(format!("of a file of 34 MiB {seen} bytes in use are seen, of a tiny one {}", stage.in_use))
        } else {
            Ok(stage)
        }
    }

    /// What the program says, and how much memory it had in use at most, as far as is seen by asking every millisecond.
    fn analyse(
        &self,
        flags: &[&str],
        path: &Path,
        limit: u64,
        address_space: u64,
    ) -> Result<(Output, u64), String> {
        let path = path.to_str().unwrap_or_default();
        let limit = limit.to_string();
        let words = ["analyze", "--batch-size", "1", "--threads", "1", "--quiet", "--memory-limit", &limit];
        let mut limited = std::process::Command::new("bash");
        limited.args(["-c", &format!("ulimit -v {}; exec \"$@\"", address_space / KIB), "bash"]);
        // One heap: others reserve 64 MiB each without use.
        limited.arg(self.effort.program).args(words).args(flags).arg(path).env("MALLOC_ARENA_MAX", "1");
        limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = limited.spawn().map_err(|error| error.to_string())?;
        let mut most = 0;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            most = most.max(peak_in_use(child.id()));
            std::thread::sleep(Duration::from_millis(1));
        }
        // What it says is a line, or the few of a panic: they fit into the pipe.
        Ok((child.wait_with_output().map_err(|error| error.to_string())?, most))
    }

    /// Which share of the memory that it may use the analysis did use; it may also be refused in a line.
    fn attempt(&self, random: &mut Random) -> Result<Option<f64>, String> {
        let case = &self.cases[random.below(self.cases.len())];
        let limit = (random.between(1.0, 1.0 + 6.5).exp2() * MIB as f64).round() as u64;
        let address_space = self.reserved + PRODUCTS + limit + SLACK;
        let (run, used) = self.analyse(case.flags, &case.path, limit, address_space)?;
        let said = stderr(&run);
        let name = case.path.file_name().unwrap_or_default().display();
        let refused =
            run.status.code() == Some(2) && said.lines().count() == 1 && said.contains("of memory, allowed");
        let allowed = self.in_use + limit + SLACK;
        if used > allowed {
            return Err(format!("{name} with {limit} bytes: {used} in use, of {allowed}"));
        }
        if run.status.success() || refused {
            return Ok((!refused).then(|| used as f64 / allowed as f64));
        }
        Err(format!("{name} with {limit} bytes: {} {}", run.status, said.trim()))
    }
}

/// The most memory that a process has had in use so far, 0 if it is gone.
fn peak_in_use(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * KIB
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
