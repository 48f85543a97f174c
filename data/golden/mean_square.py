#!/usr/bin/env python3
"""Writes mean-square.toml: thresholds and growth of ensembles without axes, by brute force.

Independent of the Rust code on purpose: every batch of a scheme is listed with its probability, the matrix of one step on (w, previous w)
is written down as the optimizer says, and the growth of the mean square is the spectral radius of the mean of its Kronecker square; a
threshold is where that crosses 1, by bisection. Run it as `python3 data/golden/mean_square.py`; it needs NumPy.
"""

from itertools import combinations, product
from pathlib import Path

import numpy as np

# Samples with rows of factors: H_i is the sum of the outer products of its rows.
ENSEMBLES = {
    "three directions": [[[1.0, 0.5, 0.0]], [[0.0, 1.5, -0.5]], [[0.25, 0.0, 1.0]], [[1.0, 1.0, 1.0]]],
    "two factors a sample": [[[1.0, 0.5], [0.0, 0.75]], [[0.5, -1.0], [1.25, 0.0]], [[2.0, 0.25], [0.5, 0.5]]],
    "one that stands out": [[[0.25, 0.5]], [[0.5, 0.25]], [[3.0, -1.0]]],
}
OPTIMIZERS = {"sgd": (0.0, 0.0), "sgd:momentum=0.5": (0.5, 0.0), "sgd:momentum=0.9": (0.9, 0.0),
              "sam:rho_over_alpha=0.25": (0.0, 0.25), "sam:rho_over_alpha=0.25,momentum=0.5": (0.5, 0.25)}
SCHEMES = ("without-replacement", "with-replacement", "bernoulli")


def batches(scheme, n, b):
    """Every batch with its probability."""
    if scheme == "without-replacement":
        sets = list(combinations(range(n), b))
        return [(1 / len(sets), batch) for batch in sets]
    if scheme == "with-replacement":
        return [(n**-b, batch) for batch in product(range(n), repeat=b)]
    subsets = [[i for i in range(n) if mask >> i & 1] for mask in range(2**n)]
    return [((b / n) ** len(s) * (1 - b / n) ** (n - len(s)), s) for s in subsets]


def growth(curvatures, scheme, b, momentum, c, eta):
    n, d = len(curvatures), len(curvatures[0])
    ascent = np.eye(d) + c * sum(curvatures) / n
    total = 0
    for probability, batch in batches(scheme, n, b):
        h = sum((curvatures[i] for i in batch), np.zeros((d, d))) / b
        step = np.block([[(1 + momentum) * np.eye(d) - eta * h @ ascent, -momentum * np.eye(d)],
                         [np.eye(d), np.zeros((d, d))]])
        total = total + probability * np.kron(step, step)
    return max(abs(np.linalg.eigvals(total)))


def threshold(*arguments):
    low, high = 0.0, 1e-3
    while growth(*arguments, high) < 1:
        high *= 1.5
    for _ in range(80):
        middle = (low + high) / 2
        if growth(*arguments, middle) < 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def case(ensemble, rows, optimizer, scheme, b, quantity, value, eta=None):
    lines = ["[[threshold]]", f'name = "{ensemble}, {optimizer}, {scheme}, B={b}: {quantity}"',
             f"ensemble = {{ factors = {rows} }}", f'optimizer = "{optimizer}"', f'sampling = "{scheme}"', f"batch_size = {b}"]
    if eta is not None:
        lines.append(f"learning_rate = {eta!r}")
    lines += [f'quantity = "{quantity}"', f"value = {float(value)!r}", "rtol = 5e-11",
              'source = "spectral radius over all batches, mean_square.py"', ""]
    return "\n".join(lines)


def main():
    text = ("# Golden thresholds of ensembles without axes. Written by mean_square.py from the spectral radius over all batches; checked by\n"
            "# `cargo xtask thresholds`. The tolerance is that of eigenvalues in double precision.\n\n")
    cases = []
    for name, rows in ENSEMBLES.items():
        curvatures = [sum(np.outer(f, f) for f in sample) for sample in rows]
        for optimizer, (momentum, c) in OPTIMIZERS.items():
            for scheme in SCHEMES:
                for b in (1, 2):
                    eta = threshold(curvatures, scheme, b, momentum, c)
                    cases.append(case(name, rows, optimizer, scheme, b, "max-learning-rate", eta))
                    # Not at the threshold, where every growth is 1.
                    if momentum == 0.0:
                        other = round(1.25 * eta, 3)
                        found = growth(curvatures, scheme, b, momentum, c, other)
                        cases.append(case(name, rows, optimizer, scheme, b, "mean-square-growth", found, other))
    Path(__file__).with_name("mean-square.toml").write_text(text + "\n".join(cases))


if __name__ == "__main__":
    main()
