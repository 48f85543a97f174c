# %% [markdown]
# # Factors of a convolutional network with ten classes, as a file
#
# A network is trained on a hundred handwritten digits and polished until it interpolates them. What is written are the factors of its
# curvature there, 100 samples with 10 factors of 3658 parameters each: a real file to try `linstab analyze` on, and the one that the
# benchmark `analyze/digits-k10` measures.
#
#     python digits_factors.py digits.npy
#     linstab analyze digits.npy --batch-size 10

# %%
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax.numpy as jnp
import linstab.jax
from digits_network import apply, initial_params, load_digits, mean_loss, one_hot, polish, train

NUM_SAMPLES, SEED = 100, 0


def main(arguments: list[str]) -> None:
    """Write the file that is asked for."""
    parser = argparse.ArgumentParser(description="Factors of a network that interpolates a hundred digits.")
    parser.add_argument("out", type=Path, help="the .npy file to write, not there yet")
    out = parser.parse_args(arguments).out
    # Before a minute of work, not after it.
    if out.suffix != ".npy" or not out.parent.is_dir() or out.exists():
        parser.error(f"{out}: name a new file that ends in .npy, in a folder that exists")
    images, labels = load_digits(NUM_SAMPLES)
    data = jnp.asarray(images), jnp.asarray(one_hot(labels))
    params, _ = train(initial_params(SEED), *data)
    minimum = polish(params, *data)
    factors = linstab.jax.factors(apply, minimum, data, loss="half_squared_error", out=out)
    loss = mean_loss(minimum, *data)
    print(f"{out}: {factors.num_samples} samples, {factors.num_factors} factors, {factors.num_parameters} parameters, loss {loss:.1e}")


# %%
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    main(sys.argv[1:])
