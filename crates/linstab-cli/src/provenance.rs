//! Where and with what a run takes place.

use linstab_driver::manifest::{Provenance, sha256_hex};

pub(crate) fn of_this_run() -> Provenance {
    Provenance {
        git_revision: env!("LINSTAB_REVISION").to_owned(),
        program_sha256: program_sha256().unwrap_or_else(|| env!("LINSTAB_REVISION").to_owned()),
        toolchain: env!("LINSTAB_TOOLCHAIN").to_owned(),
        dependencies: env!("LINSTAB_DEPENDENCIES").split(", ").map(str::to_owned).collect(),
        cpu: cpu().unwrap_or_default(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn program_sha256() -> Option<String> {
    Some(sha256_hex(&std::fs::read(std::env::current_exe().ok()?).ok()?))
}

fn cpu() -> Option<String> {
    let description = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = description.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
