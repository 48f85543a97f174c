"""What a skilled user would write in NumPy for one exact threshold: the peer that `cargo xtask bench --only analyze` starts and asks.

Run: python3 data/bench/analyze_numpy.py FACTORS.npy BATCH_SIZE

From the loaded factors: Gram matrix, its eigenvectors, and Lanczos iteration (full reorthogonalisation) for the largest eigenvalue of
the critical pair on r x r matrices: SGD, batches without replacement, no certificate. Answers every line of standard input by the seconds
that one call took, reading included. OPENBLAS_NUM_THREADS sets the threads.
"""

import sys
import time

import numpy as np


def threshold(path, batch_size):
    factors = np.load(path).astype(np.float64)
    n, k = factors.shape[0], 1 if factors.ndim == 2 else factors.shape[1]
    factors = factors.reshape(n * k, -1)
    values, vectors = np.linalg.eigh(factors @ factors.T / n)
    kept = values > 1e-13 * values[-1]
    h, v = values[kept], vectors[:, kept] * np.sqrt(n * values[kept])
    noise = (n - batch_size) / (batch_size * (n - 1))
    scaling = np.sqrt(2 / (h[:, None] + h[None, :]))

    def apply(x):
        x = scaling * x
        y = v @ x
        if k == 1:
            spread = (y * v).sum(1)[:, None] * v
        else:
            blocks = np.einsum("iar,ibr->iab", y.reshape(n, k, -1), v.reshape(n, k, -1))
            spread = np.einsum("iab,ibr->iar", blocks, v.reshape(n, k, -1)).reshape(n * k, -1)
        return scaling * ((1 - noise) * h[:, None] * x * h[None, :] + noise / n * (v.T @ spread))

    basis, diagonal, beside = [], [], []
    vector = np.eye(len(h)) / np.sqrt(len(h))
    for _ in range(200):
        basis.append(vector)
        image = apply(vector)
        diagonal.append((vector * image).sum())
        for _ in range(2):
            for other in basis:
                image -= (other * image).sum() * other
        norm = np.linalg.norm(image)
        ritz, coordinates = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        if norm * abs(coordinates[-1, -1]) < 1e-10 * ritz[-1]:
            break
        beside.append(norm)
        vector = image / norm
    return 2 / ritz[-1]


for _ in sys.stdin:
    started = time.perf_counter()
    found = threshold(sys.argv[1], int(sys.argv[2]))
    print(time.perf_counter() - started, flush=True)
    print(f"numpy {np.__version__}: {found:.12g}", file=sys.stderr)
