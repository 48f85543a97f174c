//! What a terminal shows of an analysis: progress while it takes long, and a verdict in colour.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use linstab_analysis::observer::{Observer, Progress, Stage};
use linstab_analysis::{Findings, describe};

use crate::source::InputArguments;

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar of what is done, once it takes long; on a terminal only.
pub(super) struct Bar<'a> {
    input: &'a InputArguments,
    start: Instant,
    bar: Mutex<Option<(Stage, ProgressBar)>>,
}

impl Observer for Bar<'_> {
    fn announced(&self, what: &str) {
        self.input.announced(what);
    }

    fn goes_on(&self, Progress { stage, done, total }: Progress) -> bool {
        let Ok(mut bar) = self.bar.lock() else { return true };
        if self.input.quiet || self.start.elapsed() < PATIENCE {
            return true;
        }
        // Each stage has its own pace, and so its own bar.
        if let Some((_, old)) = bar.take_if(|(shown, _)| *shown != stage) {
            old.finish_and_clear();
        }
        let (_, bar) = bar.get_or_insert_with(|| (stage, self.bar_of(stage, total)));
        bar.set_position(done as u64);
        true
    }
}

impl<'a> Bar<'a> {
    pub(super) fn new(input: &'a InputArguments) -> Self {
        Self { input, start: Instant::now(), bar: Mutex::new(None) }
    }

    fn bar_of(&self, stage: Stage, total: usize) -> ProgressBar {
        let template = "{wide_bar} {pos}/{len} {msg}, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total as u64).with_style(style).with_message(stage.name());
        let bar = bar.with_elapsed(self.start.elapsed());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    pub(super) fn finish(&self) {
        if let Ok(Some((_, bar))) = self.bar.lock().as_deref() {
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
