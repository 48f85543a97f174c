//! What a terminal shows of an analysis: progress while it takes long, and a verdict in colour.

use std::io::{self, Write as _};
use std::time::Duration;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use linstab_analysis::{Findings, describe};

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar of the rows that are done, once they take long; on a terminal only.
pub(super) struct Rows {
    bar: ProgressBar,
    quiet: bool,
}

impl Rows {
    pub(super) fn new(quiet: bool) -> Self {
        let template = "{wide_bar} {pos}/{len} thresholds, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        // Hidden, it keeps the time all the same.
        Self { bar: ProgressBar::hidden().with_style(style), quiet }
    }

    /// So many rows of all are done.
    pub(super) fn tell(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        if !self.quiet && self.bar.is_hidden() && self.bar.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
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
