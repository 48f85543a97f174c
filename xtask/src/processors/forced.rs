//! The same program on this processor, made to believe that it has narrower vectors: a debugger changes what it has found out about it.
//!
//! A hundred times as fast as the emulator, and the same bits where both were run. The standard library asks the processor once and keeps the
//! answer in a word of its own, which faer goes by; the C library is told by its environment.

use std::path::Path;
use std::process::Command;

use crate::{FAILURE, program};

/// The bits of the standard library's word that say AVX-512, and AVX, FMA and what needs these: as in Rust 1.95. With others no table would
/// differ, which is an error.
const AVX512: u64 = (0x7ff << 19) | (0x1f << 33);
const AVX: u64 = (0b11 << 14) | (0b111 << 30) | (0b11 << 55);

/// Widest vectors that are left, with what is taken away.
pub(super) struct Width {
    pub(super) name: &'static str,
    bits: u64,
    c_library: &'static str,
}

const WIDTHS: [Width; 2] = [
    Width { name: "256 bits", bits: AVX512, c_library: "-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD" },
    Width {
        name: "128 bits",
        bits: AVX512 | AVX,
        c_library: "-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD,-AVX2,-AVX,-FMA,-FMA4",
    },
];

/// Those that are narrower than the processor's own.
pub(super) fn widths() -> &'static [Width] {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if processor.contains(" avx512f ") { &WIDTHS } else { &WIDTHS[1..] }
}

impl Width {
    /// The program under the debugger, which stops it until the width is forced and then waits for its end.
    pub(super) fn command(&self, arguments: &[&str], out: &Path) -> Result<Command, u8> {
        let (ask, word) = (symbol("detect_and_initialize")?, symbol("CACHE")?);
        let steps = [
            "set confirm off".to_owned(),
            "set startup-with-shell off".to_owned(),
            format!("set environment GLIBC_TUNABLES glibc.cpu.hwcaps={}", self.c_library),
            "break main".to_owned(),
            "run".to_owned(),
            // It hands its answer back through a pointer: to where nothing lies yet.
            format!("call (void) {ask}($rsp - 4096)"),
            format!("set *(unsigned long *) &{word} &= ~{}ul", self.bits),
            "delete".to_owned(),
            "continue".to_owned(),
            "quit $_exitcode".to_owned(),
        ];
        let mut command = Command::new("gdb");
        command.args(["-q", "-batch", "-nx", "-iex", "set debuginfod enabled off"]);
        for step in steps {
            command.args(["-ex", &step]);
        }
        command.arg("--args").arg(program()).args(arguments).args(["--threads", "1", "--out"]).arg(out);
        Ok(command)
    }
}

/// The name in the program of a function or variable of the module of the standard library that knows the processor.
fn symbol(name: &str) -> Result<String, u8> {
    let listed = Command::new("nm").arg(program()).output();
    let listed = listed.map_err(|error| {
        eprintln!("error: cannot run nm, which comes with a C compiler: {error}");
        FAILURE
    })?;
    let ending = format!("10std_detect6detect5cache{}{name}", name.len());
    let text = String::from_utf8_lossy(&listed.stdout);
    let found =
        text.lines().filter_map(|line| line.split(' ').next_back()).find(|line| line.ends_with(&ending));
    found.map(str::to_owned).ok_or_else(|| {
        eprintln!("error: the program has no symbol that ends in {ending}: another release of Rust names it differently");
        FAILURE
    })
}
