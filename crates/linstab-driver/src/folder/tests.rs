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
