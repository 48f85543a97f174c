//! What a terminal shows of an analysis: progress while it takes long, and a verdict in colour.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use linstab_analysis::{Findings, describe};

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar of the rows that are done, once they take long; on a terminal only.
pub(super) struct Rows {
    start: Instant,
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Rows {
    pub(super) fn new(quiet: bool) -> Self {
        Self { start: Instant::now(), quiet, bar: Mutex::new(None) }
    }

    /// So many rows of all are done.
    pub(super) fn tell(&self, done: usize, all: usize) {
        let Ok(mut bar) = self.bar.lock() else { return };
        if self.quiet || self.start.elapsed() < PATIENCE {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let template = "{wide_bar} {pos}/{len} thresholds, {eta} left";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(all as u64).with_style(style).with_elapsed(self.start.elapsed());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_position(done as u64);
    }

    pub(super) fn finish(&self) {
        if let Ok(Some(bar)) = self.bar.lock().as_deref() {
            bar.finish_and_clear();
        }
    }
}

/// Says what was found: the verdict bold on a terminal, green where it holds and red where it does not; plain elsewhere, and with `NO_COLOR`.
pub(super) fn say(findings: &Findings) -> anyhow::Result<()> {
    let text = describe(findings);
    let (verdict, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let style = match findings.report.stability.last().and_then(|line| line.stable) {
        Some(true) => Style::new().fg_color(Some(AnsiColor::Green.into())).bold(),
        Some(false) => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        None => Style::new().bold(),
    };
    let mut stdout = AutoStream::auto(io::stdout().lock());
    let written = write!(stdout, "{style}{verdict}{style:#}\n\n{rest}").and_then(|()| stdout.flush());
    match written {
        // A reader that has gone away is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
