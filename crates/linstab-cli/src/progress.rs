//! Progress bars on a terminal, log messages where RUST_LOG asks for them.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use linstab_experiments::Progress;
use linstab_experiments::experiment::Silent;
use tracing_subscriber::EnvFilter;

/// Starts logging and returns where progress goes: a bar if standard error is a terminal and `quiet` is not set.
pub(crate) fn start(quiet: bool) -> Box<dyn Progress> {
    let terminal = io::stderr().is_terminal();
    let bars = MultiProgress::new();
    let log = LogWriter(bars.clone());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(move || log.clone())
        .with_ansi(terminal)
        .without_time()
        .init();
    if quiet || !terminal { Box::new(Silent) } else { Box::new(Bars { bars, current: Mutex::new(None) }) }
}

struct Bars {
    bars: MultiProgress,
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn with_current(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.current.lock().expect("no holder of the bar panics") {
            act(bar);
        }
    }
}

impl Progress for Bars {
    fn start(&self, experiment: &str, num_done: usize, num_cells: usize) {
        let template = "{msg} {wide_bar} {human_pos}/{human_len} cells, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        let bar = ProgressBar::new(num_cells as u64).with_style(style).with_message(experiment.to_owned());
        let bar = self.bars.add(bar);
        bar.set_position(num_done as u64);
        // Cells from a checkpoint must not count into the rate.
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.current.lock().expect("no holder of the bar panics") = Some(bar);
    }

    fn advance(&self, num_done: usize) {
        self.with_current(|bar| bar.set_position(num_done as u64));
    }

    fn finish(&self) {
        self.with_current(ProgressBar::finish_and_clear);
    }
}

/// Standard error, with the bars taken off while a message is written.
#[derive(Clone)]
struct LogWriter(MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
