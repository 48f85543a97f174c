//! What a terminal shows of an analysis: progress while it takes long, and a verdict in colour.

use std::io::{self, Write as _};
use std::time::Duration;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use linstab_analysis::observer::{Observer, Progress};
use linstab_analysis::{Findings, describe};

use crate::source::InputArguments;

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar of what is done, once it takes long; on a terminal only.
pub(super) struct Bar<'a> {
    input: &'a InputArguments,
    bar: ProgressBar,
}

impl<'a> Bar<'a> {
    pub(super) fn new(input: &'a InputArguments) -> Self {
        let template = "{wide_bar} {pos}/{len} {msg}, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        // Hidden, it keeps the time all the same.
        Self { input, bar: ProgressBar::hidden().with_style(style) }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bar<'_> {
    fn announced(&self, what: &str) {
        self.input.announced(what);
    }

    fn goes_on(&self, Progress { stage, done, total }: Progress) -> bool {
        if self.bar.message() != stage.name() {
            // Each stage has its own pace.
            self.bar.set_message(stage.name());
            self.bar.reset_eta();
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        if !self.input.quiet && self.bar.is_hidden() && self.bar.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        true
    }
}

/// Says what was found: the verdict bold on a terminal, green where it holds and red where it does not; plain elsewhere, and with `NO_COLOR`.
pub(super) fn say(findings: &Findings) -> anyhow::Result<()> {
    let text = describe(findings);
    let (verdict, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let rows = &findings.report.stability;
    let of_first = rows.iter().take_while(|row| row.training.optimizer == rows[0].training.optimizer);
    let verdicts: Vec<Option<bool>> = of_first.map(|row| row.stable).collect();
    let all = |stable: bool| verdicts.iter().all(|own| *own == Some(stable)) && !verdicts.is_empty();
    let style = match (all(true), all(false)) {
        (true, _) => Style::new().fg_color(Some(AnsiColor::Green.into())).bold(),
        (_, true) => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        _ => Style::new().bold(),
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
