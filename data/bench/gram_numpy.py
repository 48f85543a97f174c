"""What `cargo xtask bench --only gram` is compared with: NumPy's `G @ G.T` (OpenBLAS syrk) in single precision, and the
largest eigenvalue of a 2000 x 2000 coherence matrix by SciPy, if there is one.

Run: OPENBLAS_NUM_THREADS=1 python3 data/bench/gram_numpy.py     (and =2), straight after the benchmark.
GF/s count n^2 P multiplications and additions, as the benchmark does.
"""

import os
import time

import numpy as np


def measured(run, repetitions):
    times = []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return sorted(times[1:])  # the first call is not measured


threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
random = np.random.default_rng(1)
for rows, columns in [(256, 1_000_000), (1000, 100_000), (2000, 10_000)]:
    factors = random.random((rows, columns), dtype=np.float32) * 2 - 1
    times = measured(lambda: factors @ factors.T, 7)
    rates = [rows * rows * columns / each * 1e-9 for each in times]
    print(f"numpy/{rows}x{columns}/f32/{threads} threads: worst {rates[-1]:.1f}, median {rates[3]:.1f}, best {rates[0]:.1f} GF/s")
try:
    from scipy.sparse.linalg import eigsh
except ImportError:
    print("no scipy: the largest eigenvalue is not measured")
else:
    factors = random.random((2000, 500)) * 2 - 1
    coherence = np.abs(factors @ factors.T)
    times = measured(lambda: eigsh(coherence, k=1, which="LA", return_eigenvectors=False), 7)
    print(f"scipy eigsh n2000/{threads} threads: best {times[0]:.4f}, median {times[3]:.4f} s")
