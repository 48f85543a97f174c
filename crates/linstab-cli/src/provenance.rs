//! Where and with what a run takes place.

use anyhow::Context as _;
use linstab_driver::manifest::{Provenance, sha256_hex};

/// The error is that the program cannot read itself: results are a function of it, and without its digest those of two builds could mix.
pub(crate) fn of_this_run() -> anyhow::Result<Provenance> {
    Ok(Provenance {
        git_revision: env!("LINSTAB_REVISION").to_owned(),
        program_sha256: program_sha256()?,
        toolchain: env!("LINSTAB_TOOLCHAIN").to_owned(),
        dependencies: env!("LINSTAB_DEPENDENCIES").split(", ").map(str::to_owned).collect(),
        cpu: cpu().unwrap_or_default(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn program_sha256() -> anyhow::Result<String> {
    let path = std::env::current_exe().context("cannot find the program's own file")?;
    let bytes = std::fs::read(&path).with_context(|| {
        format!("cannot read the program itself, {}, of which results are a function", path.display())
    })?;
    Ok(sha256_hex(&bytes))
}

fn cpu() -> Option<String> {
    let description = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = description.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
