//! Where and with what a run takes place.

use std::process::Command;

use linstab_experiments::manifest::Provenance;

pub(crate) fn of_this_run() -> Provenance {
    Provenance {
        git_revision: git_revision().unwrap_or_default(),
        toolchain: env!("LINSTAB_TOOLCHAIN").to_owned(),
        dependencies: env!("LINSTAB_DEPENDENCIES").split(", ").map(str::to_owned).collect(),
        cpu: cpu().unwrap_or_default(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

/// The revision of the repository around the working directory, with `-dirty` if tracked files were changed.
fn git_revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "HEAD"])?;
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    Some(if dirty { format!("{revision}-dirty") } else { revision })
}

fn cpu() -> Option<String> {
    let description = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = description.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
