"""What a skilled user would write instead, in NumPy and SciPy: the peer that `cargo xtask bench --only gram` starts and asks.

Run: python3 data/bench/gram_numpy.py gram ROWS COLUMNS     `G @ G.T` (OpenBLAS syrk) in double precision
     python3 data/bench/gram_numpy.py lambda-max-s SAMPLES  the largest eigenvalue of a coherence matrix by Lanczos (SciPy)

Answers every line of standard input by the seconds that one call took. OPENBLAS_NUM_THREADS sets the threads.
"""

import sys
import time

import numpy as np


def problem(kind, sizes):
    random = np.random.default_rng(1)
    if kind == "gram":
        rows, columns = sizes
        factors = random.random((rows, columns)) * 2 - 1
        return lambda: factors @ factors.T
    from scipy.sparse.linalg import eigsh

    (samples,) = sizes
    factors = random.random((samples, 500)) * 2 - 1
    coherence = np.abs(factors @ factors.T)
    return lambda: eigsh(coherence, k=1, which="LA", return_eigenvectors=False)


run = problem(sys.argv[1], [int(size) for size in sys.argv[2:]])
for _ in sys.stdin:
    started = time.perf_counter()
    run()
    print(time.perf_counter() - started, flush=True)
