//! The plan, a line for each experiment that ends, a bar on a terminal, log messages where RUST_LOG asks for them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use linstab_driver::progress::{Ending, Plan, Progress, Silent};
use tracing_subscriber::EnvFilter;

/// Starts logging and returns where progress goes: to standard error, unless `quiet` is set.
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
    if quiet { Box::new(Silent) } else { Box::new(Lines { bars, terminal, current: Mutex::new(None) }) }
}

struct Lines {
    bars: MultiProgress,
    /// Bars are for people.
    terminal: bool,
    current: Mutex<Option<ProgressBar>>,
}

impl Lines {
    fn with_current(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.current.lock().expect("no holder of the bar panics") {
            act(bar);
        }
    }

    /// Nobody may be listening; that is no reason to stop.
    fn print(&self, text: &str) {
        let _ = LogWriter(self.bars.clone()).write_all(text.as_bytes());
    }
}

impl Progress for Lines {
    fn start(&self, experiment: &str, num_done: usize, num_cells: usize) {
        if !self.terminal {
            return;
        }
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

    fn plan(&self, plan: &Plan) {
        self.print(&table(plan));
    }

    fn ended(&self, experiment: &str, ending: &Ending) {
        // After an error the bar is still there.
        self.finish();
        match ending {
            Ending::Completed(seconds) => self.print(&format!("done {experiment} {seconds:.1} s\n")),
            // The plan has said so.
            Ending::Unchanged => {}
            Ending::Failed(error, seconds) => {
                self.print(&format!("FAILED {experiment} {seconds:.1} s: {error}\n"));
            }
        }
    }
}

/// The plan as a table: what, why, how long.
fn table(plan: &Plan) -> String {
    let mut text = String::new();
    let Some(cause) = &plan.cause else {
        let _ = writeln!(
            text,
            "nothing has changed: {}",
            plan.steps.iter().map(|step| step.id).collect::<Vec<_>>().join(", ")
        );
        return text;
    };
    for step in &plan.steps {
        let _ = writeln!(text, "  {:<20}{:>6}", step.id, about(step.seconds));
    }
    let _ = writeln!(text, "why: {cause}");
    let threads = if plan.num_threads == 1 { "thread" } else { "threads" };
    let sizes = if plan.quick { ", reduced sizes" } else { "" };
    let _ = writeln!(text, "about {} on {} {threads}{sizes}", about(plan.seconds()), plan.num_threads);
    text
}

/// A forecast: whole seconds, or minutes.
fn about(seconds: f64) -> String {
    if seconds < 100.0 { format!("{:.0} s", seconds.max(1.0)) } else { format!("{:.0} min", seconds / 60.0) }
}

/// Standard error, with the bars taken off while a message is written.
#[derive(Clone)]
struct LogWriter(MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error would make the logger say so on standard error, and panic.
        let _ = self.0.suspend(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
