//! What a run may replace, and what survives an interruption.

use super::*;

fn complete(out: &Path, content: &str) {
    let folder = RunFolder::open(out, false).unwrap();
    folder.write("table.csv", content.as_bytes()).unwrap();
    folder.write(MANIFEST, br#"{"program": "linstab"}"#).unwrap();
    folder.complete(false).unwrap();
}

#[test]
fn a_run_that_stopped_between_the_renames_loses_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("results");
    complete(&out, "earlier");
    let folder = RunFolder::open(&out, false).unwrap();
    fs::write(folder.part("experiment").checkpoint("experiment").base(), "cells").unwrap();
    fs::rename(&out, &folder.previous).unwrap();
    drop(folder);
    let reopened = RunFolder::open(&out, false).unwrap();
    assert_eq!(fs::read_to_string(out.join("table.csv")).unwrap(), "earlier");
    assert_eq!(
        fs::read_to_string(reopened.part("experiment").checkpoint("experiment").base()).unwrap(),
        "cells"
    );
    drop(reopened);
    let restarted = RunFolder::open(&out, true).unwrap();
    assert!(
        !restarted.part("experiment").checkpoint("experiment").base().exists(),
        "restart discards checkpoints"
    );
}

/// Earlier results are there at every change that is made, and then the new ones; with the detour of systems that cannot exchange folders
/// there is one moment without.
#[cfg(all(feature = "testing", target_os = "linux"))]
#[test]
fn results_are_there_at_every_moment() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Watch {
        out: PathBuf,
        can_exchange: bool,
        missing: Arc<AtomicUsize>,
    }
    impl disk::Shim for Watch {
        fn before(&mut self, change: disk::Change, path: &Path) -> io::Result<()> {
            self.missing.fetch_add(usize::from(!self.out.join("table.csv").exists()), Relaxed);
            let of_new = path.ends_with(".results.linstab-work/results") && self.out.exists();
            let exchange = change == disk::Change::Rename && of_new;
            if exchange && !self.can_exchange { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
        }
    }
    for (can_exchange, moments_without) in [(true, 0), (false, 1)] {
        let parent = tempfile::tempdir().unwrap();
        let (out, missing) = (parent.path().join("results"), Arc::<AtomicUsize>::default());
        complete(&out, "earlier");
        let watch = Watch { out: out.clone(), can_exchange, missing: Arc::clone(&missing) };
        disk::with_shim(Box::new(watch), || complete(&out, "new"));
        assert_eq!(missing.load(Relaxed), moments_without);
        assert_eq!(fs::read_to_string(out.join("table.csv")).unwrap(), "new");
        let left: Vec<_> =
            fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["results"], "and nothing else");
    }
}

#[test]
fn nothing_that_is_not_ours_is_touched() {
    let parent = tempfile::tempdir().unwrap();
    let precious = |folder: &Path| {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("thesis.tex"), "precious").unwrap();
    };
    let out = parent.path().join("results");
    precious(&parent.path().join(".results.linstab-work"));
    let with_manifest = parent.path().join("extension");
    precious(&with_manifest);
    fs::write(with_manifest.join(MANIFEST), r#"{"manifest_version": 3}"#).unwrap();
    for out in [&out, &with_manifest] {
        let refused = RunFolder::open(out, false);
        assert!(matches!(refused, Err(DriverError::ForeignFolder { .. })), "{refused:?}");
    }
    for folder in [".results.linstab-work", "extension"] {
        let file = parent.path().join(folder).join("thesis.tex");
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_or_refused_never_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let (real, link, dangling) =
        (parent.path().join("real"), parent.path().join("link"), parent.path().join("dangling"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    std::os::unix::fs::symlink(parent.path().join("nowhere"), &dangling).unwrap();
    complete(&link, "through the link");
    assert_eq!(fs::read_to_string(real.join("table.csv")).unwrap(), "through the link");
    assert!(link.is_symlink(), "the link is still one");
    assert!(matches!(RunFolder::open(&dangling, false), Err(DriverError::ForeignFolder { .. })));
    complete(&parent.path().join("fresh/."), "a path that ends in a dot");
    assert!(parent.path().join("fresh/table.csv").is_file(), "which names the folder itself");
}
