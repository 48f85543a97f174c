//! What `linstab analyze` does with a file, from reading it to the last threshold, beside NumPy on the same file.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use linstab_analysis::files;
use linstab_analysis::observer::Unobserved;
use linstab_analysis::{Request, Source, Work, analyse};
use linstab_driver::files::write_atomically;
use linstab_driver::streams::StreamKey;
use rand_distr::{Distribution, StandardNormal};

use crate::harness::{Suite, seconds};
use crate::peer::Peer;

/// Directions that decay as `exp(-j / 10)`, as spectra of gradients do, and the noise that is added to every entry.
const NUM_DIRECTIONS: usize = 50;
const NOISE: f64 = 0.05;
/// Processes and threads of the pool.
pub(crate) const NUM_THREADS: usize = 2;
const MEMORY: usize = 8 << 30;
const BATCH_SIZES: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Samples, factors a sample, parameters.
#[derive(Clone, Copy)]
pub(crate) struct Shape(pub(crate) usize, pub(crate) usize, pub(crate) usize);

/// What is asked of a file.
pub(crate) enum Asked {
    /// Thresholds of SGD and momentum .9 at ten batch sizes.
    Curves,
    /// Of SGD at batches of 32, with what `analyze` adds by itself.
    One,
    /// The growth of an optimizer at a learning rate.
    Growth(&'static str),
}

pub(crate) fn register(suite: &mut Suite) {
    for (name, shape, asked, samples) in [
        ("analyze/n1000", Shape(1000, 1, 4000), Asked::One, 5),
        ("analyze/n1000/curves", Shape(1000, 1, 4000), Asked::Curves, 5),
        ("analyze/n2000/curves", Shape(2000, 1, 8000), Asked::Curves, 3),
        ("analyze/n100-k10", Shape(100, 10, 2000), Asked::One, 5),
        ("analyze/n300-k10", Shape(300, 10, 6000), Asked::One, 1),
    ] {
        let path = std::cell::OnceCell::new();
        let file = || path.get_or_init(|| factors(shape)).clone();
        let numpy =
            || Peer::start("analyze_numpy.py", &[file().display().to_string(), "32".to_owned()], NUM_THREADS);
        let ours = || seconds(|| analysis(&file(), &asked));
        suite.compare((name, "s"), (samples, NUM_THREADS), ours, ("numpy", numpy), |time| time);
    }
    for (name, shape, asked) in [
        ("analyze/n1000/growth", Shape(1000, 1, 4000), Asked::Growth("sgd")),
        ("analyze/n1000/growth-momentum", Shape(1000, 1, 4000), Asked::Growth("sgd:momentum=0.9")),
        ("analyze/n4000/curves", Shape(4000, 1, 8000), Asked::Curves),
    ] {
        suite.measure((name, "s"), 1, NUM_THREADS, || {
            let path = factors(shape);
            seconds(|| analysis(&path, &asked))
        });
    }
    let digits = folder().join("digits.npy");
    if digits.exists() {
        suite.measure(("analyze/digits-k10", "s"), 5, NUM_THREADS, || {
            seconds(|| analysis(&digits, &Asked::One))
        });
    } else {
        eprintln!("analyze/digits-k10: {DIGITS} makes its file, so not measured");
    }
    let peak = std::cell::Cell::new(0.0);
    suite.measure(("large/n1000-k10", "s"), 1, NUM_THREADS, || {
        let path = factors(Shape(1000, 10, 10_000));
        forget_peak();
        let time = seconds(|| analysis(&path, &Asked::One));
        peak.set(peak_memory());
        time
    });
    suite.measure(("large/n1000-k10/memory", "GiB"), 1, NUM_THREADS, || peak.get());
}

/// The command that makes the factors of a real network (its Python is that of `cargo xtask python`).
const DIGITS: &str =
    "target/python/bin/python crates/linstab-python/examples/digits_factors.py target/bench/digits.npy";

/// Lets the largest memory of this process be forgotten, where the system can.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Largest memory of this process since then, in GiB.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) / f64::from(1 << 20)
}

/// The path of the command.
pub(crate) fn analysis(path: &Path, asked: &Asked) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(NUM_THREADS).build().expect("a few threads");
    pool.install(|| {
        let tensor = files::open(path, None, "factors", MEMORY).expect("it was just written");
        let source = Source::factors(tensor).expect("three dimensions");
        let mut request = Request { batch_sizes: vec![32], ..Request::default() };
        match asked {
            Asked::One => {}
            Asked::Curves => {
                request.batch_sizes = BATCH_SIZES.to_vec();
                request.optimizers.push("sgd:momentum=0.9".parse().expect("a specification"));
            }
            Asked::Growth(optimizer) => {
                request.optimizers = vec![optimizer.parse().expect("a specification")];
                request.learning_rate = Some(1e-4);
            }
        }
        let sizes = source.sizes();
        let work = (Work::of(&request, sizes.num_samples), MEMORY);
        let grams = source.grams((1.0, None), work, &Unobserved).expect("finite factors that fit");
        black_box(analyse(grams.view(), sizes, &request).expect("the iteration converges"));
    });
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench")
}

/// The file of `U diag(exp(-j / 10)) W` plus noise, with normal entries, made once.
pub(crate) fn factors(Shape(samples, factors, parameters): Shape) -> PathBuf {
    let folder = folder();
    let path = folder.join(format!("decaying-{samples}-{factors}-{parameters}.npy"));
    if path.exists() {
        return path;
    }
    std::fs::create_dir_all(&folder).expect("a folder under target");
    let mut out = Vec::new();
    let header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({samples}, {factors}, {parameters}), }}"
    );
    let header = format!("{header:<117}\n");
    out.extend(b"\x93NUMPY\x01\x00");
    out.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
    out.extend(header.as_bytes());
    let mut rng = StreamKey::new(0, "analyze").number(samples as u64).generator();
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let directions: Vec<Vec<f64>> =
        (0..NUM_DIRECTIONS).map(|_| (0..parameters).map(|_| normal()).collect()).collect();
    for _ in 0..samples * factors {
        let mut row: Vec<f64> = (0..parameters).map(|_| NOISE * normal()).collect();
        for (j, direction) in directions.iter().enumerate() {
            let weight = normal() * (-(j as f64) / 10.0).exp();
            row.iter_mut().zip(direction).for_each(|(entry, x)| *entry += weight * x);
        }
        out.extend(row.iter().flat_map(|entry| entry.to_le_bytes()));
    }
    write_atomically(&path, &out).expect("space under target");
    path
}
