//! The plan, a line for each experiment that ends, a bar on a terminal and a line a minute elsewhere, log messages where RUST_LOG asks
//! for them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

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
    if quiet {
        Box::new(Silent)
    } else {
        Box::new(Lines { bars, terminal, current: Mutex::new(None), pace: Mutex::new(None) })
    }
}

struct Lines {
    bars: MultiProgress,
    /// Bars are for people.
    terminal: bool,
    current: Mutex<Option<ProgressBar>>,
    /// Logs are for later: a line a minute says that the run goes on, and how fast.
    pace: Mutex<Option<Pace>>,
}

/// How cells are getting on.
struct Pace {
    experiment: String,
    /// Cells that came from a checkpoint must not count into the rate.
    num_before: usize,
    num_cells: usize,
    begun: Instant,
    told: Instant,
}

impl Pace {
    const INTERVAL: Duration = Duration::from_mins(1);

    fn new(experiment: &str, num_before: usize, num_cells: usize, now: Instant) -> Self {
        Self { experiment: experiment.to_owned(), num_before, num_cells, begun: now, told: now }
    }

    /// The line, once a minute.
    fn line(&mut self, num_done: usize, now: Instant) -> Option<String> {
        if now.duration_since(self.told) < Self::INTERVAL {
            return None;
        }
        self.told = now;
        let num_new = num_done.saturating_sub(self.num_before).max(1);
        let each = now.duration_since(self.begun).as_secs_f64() / num_new as f64;
        let left = about(each * self.num_cells.saturating_sub(num_done) as f64);
        Some(format!("{} {num_done}/{} cells, {left} left\n", self.experiment, self.num_cells))
    }
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
            let pace = Pace::new(experiment, num_done, num_cells, Instant::now());
            *self.pace.lock().expect("no holder of the pace panics") = Some(pace);
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
        let mut pace = self.pace.lock().expect("no holder of the pace panics");
        if let Some(line) = pace.as_mut().and_then(|pace| pace.line(num_done, Instant::now())) {
            self.print(&line);
        }
    }

    fn finish(&self) {
        self.with_current(ProgressBar::finish_and_clear);
    }

    fn waiting(&self, what: &str) {
        self.print(&format!("waiting: {what}\n"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_a_line_a_minute() {
        let start = Instant::now();
        let mut pace = Pace::new("map", 40, 100, start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(pace.line(41, at(59)), None);
        assert_eq!(pace.line(50, at(60)).unwrap(), "map 50/100 cells, 5 min left\n");
        assert_eq!(pace.line(51, at(119)), None);
        assert_eq!(pace.line(100, at(120)).unwrap(), "map 100/100 cells, 1 s left\n");
    }
}
