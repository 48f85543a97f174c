# %% [markdown]
# # Factors of a convolutional network at a minimum, small enough to ship
#
# The convolutional network of the other examples interpolates the first forty digits, all ten classes; `python convolutional_factors.py`
# writes its factors, shape (40, 10, directions), to `data/convolutional-factors.npy`. Ten outputs make ten factors a sample.
#
# Factors matter by their inner products alone, so they are written in the eigenbasis of the mean curvature: four hundred rows have at
# most four hundred directions, whatever the number of parameters. Directions are left out from the one on of which the curvature is
# below 1e-7 of the sharpness, what single precision can tell; the program says what that and the rounding do to thresholds.

# %%
from __future__ import annotations

import sys
from pathlib import Path

import jax.numpy as jnp
import linstab
import linstab.jax
import numpy as np
from digits_network import apply, initial_params, load_digits, mean_loss, one_hot, polish, train

NUM_SAMPLES = 40
SMALLEST = 1e-7
BATCH_SIZES = [1, 4, 10, 20]


def in_the_eigenbasis(factors: np.ndarray) -> np.ndarray:
    """Factors with the same inner products, shape (samples, factors, directions), in single precision."""
    samples, per_sample, _ = factors.shape
    rows = factors.reshape(samples * per_sample, -1)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = values > SMALLEST * values[-1]
    values, vectors = values[kept][::-1], vectors[:, kept][:, ::-1]
    # A direction and its opposite are one: the largest entry is positive.
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.sign(vectors[largest, np.arange(len(values))])
    small: np.ndarray = (vectors * np.sqrt(values)).astype(np.float32)
    return small.reshape(samples, per_sample, -1)


def thresholds(factors: np.ndarray) -> np.ndarray:
    """Largest stable learning rates of SGD."""
    return np.array([row.max_learning_rate for row in linstab.analyze(factors, batch_size=BATCH_SIZES).stability])


# %%
def main(path: str) -> None:
    """Trains the network, and writes its factors."""
    images, labels = load_digits(NUM_SAMPLES)
    data = jnp.asarray(images), jnp.asarray(one_hot(labels))
    params, _ = train(initial_params(seed=0), *data)
    minimum = polish(params, *data)
    print(f"loss at the minimum: {mean_loss(minimum, *data):.1e}")
    factors = np.asarray(linstab.jax.factors(apply, minimum, data, loss="half_squared_error"))
    factors = factors.reshape(NUM_SAMPLES, 10, -1)
    small = in_the_eigenbasis(factors)
    exact = thresholds(factors)
    print("thresholds at batch sizes", BATCH_SIZES, "are", exact)
    print(f"as written they differ by at most {np.abs(thresholds(small) / exact - 1).max():.0e}")
    np.save(path, small)
    print(f"{path}: {small.shape}, {Path(path).stat().st_size} bytes")


# %%
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    shipped = Path(__file__).resolve().parents[3] / "data" / "convolutional-factors.npy"
    main(sys.argv[1] if len(sys.argv) > 1 else str(shipped))
