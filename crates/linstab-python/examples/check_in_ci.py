# %% [markdown]
# # A check of a model's stability, for continuous integration
#
# Two questions at each commit: is the learning rate that the training uses well below the largest stable one of the point where it
# ends, and are the thresholds still what they were? The exit code is 0 if both hold, 3 if a threshold has moved, 1 if the learning
# rate is too large.
#
#     python check_in_ci.py --baseline baseline.json --update    # once, and whenever a change is meant
#     python check_in_ci.py --baseline baseline.json             # in CI

# %%
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import linstab
import linstab.jax
import numpy as np
from digits_network import load_digits

NUM_SAMPLES, BATCH_SIZE, SEED = 60, 10, 0
MARGIN = 0.8  # of the largest stable learning rate
MOVED = 0.05  # relative change of a threshold that counts: trainings on other machines differ by less


# %% [markdown]
# The model under test; yours comes in its place.


# %%
def apply(params, images):
    """Outputs of a perceptron with one hidden layer."""
    return jnp.tanh(images.reshape(len(images), -1) @ params["hidden"]) @ params["output"]


def trained(learning_rate: float, data: tuple[np.ndarray, np.ndarray], num_epochs: int = 200):
    """Weights after training on shuffled batches."""
    generator = np.random.default_rng(SEED)
    params = {
        "hidden": jnp.asarray(generator.normal(size=(64, 20)) / 8, jnp.float32),
        "output": jnp.asarray(generator.normal(size=(20, 10)) / 20**0.5, jnp.float32),
    }

    def loss(params, images, targets):
        return 0.5 * jnp.sum((apply(params, images) - targets) ** 2, axis=1).mean()

    @jax.jit
    def step(params, images, targets):
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, jax.grad(loss)(params, images, targets))

    for _ in range(num_epochs):
        for chosen in generator.permutation(NUM_SAMPLES).reshape(-1, BATCH_SIZE):
            params = step(params, data[0][chosen], data[1][chosen])
    return params


# %%
def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Is the learning rate stable, and are the thresholds what they were?")
    parser.add_argument("--baseline", type=Path, required=True)
    parser.add_argument("--update", action="store_true", help="write the baseline instead of comparing with it")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    options = parser.parse_args(arguments)
    images, labels = load_digits(NUM_SAMPLES)
    data = images.astype(np.float32), np.eye(10, dtype=np.float32)[labels]
    gram = linstab.jax.gram(apply, trained(options.learning_rate, data), data, loss="half_squared_error")
    analysis = linstab.analyze(gram=gram, batch_size=BATCH_SIZE)
    print(analysis)
    if options.update:
        options.baseline.write_text(analysis.to_json())
        return 0
    if options.learning_rate > MARGIN * analysis.max_learning_rate:
        print(f"FAILED: the learning rate {options.learning_rate} is above {MARGIN} of {analysis.max_learning_rate:.3g}")
        return 1
    check = linstab.check(gram=gram, against=options.baseline, rtol=MOVED)
    print(check)
    return check.exit_code


# %%
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    sys.exit(main(sys.argv[1:]))
