# %% [markdown]
# # A training at the edge, watched
#
# SGD on digits. The monitor holds the learning rate against the largest stable one of the point that the training has reached, on a
# fixed part of the data: that one settles at the edge, next to the learning rate. Near the end the learning rate is doubled for a few
# steps: the loss jumps, and the monitor says which samples carry the direction that became unstable.

# %%
from __future__ import annotations

import argparse
import logging
import sys

import jax
import jax.numpy as jnp
import linstab
import linstab.integrations.jax
import numpy as np
from digits_network import apply, initial_params, load_digits, mean_loss, one_hot

NUM_SAMPLES, BATCH_SIZE, SEED = 100, 20, 0
NUM_STEPS, RAISED = 3000, range(2500, 2520)
LEARNING_RATE, RAISED_TO = 0.1, 0.2

# %%
logging.basicConfig(level=logging.INFO, format="%(message)s")
parser = argparse.ArgumentParser(description="Watch a training, and make it jump.")
parser.add_argument("--log", default="watch_training.csv")
path = parser.parse_args([] if "ipykernel" in sys.modules else None).log

images, labels = load_digits(NUM_SAMPLES)
data = jnp.asarray(images), jnp.asarray(one_hot(labels))


@jax.jit
def update(params, chosen, learning_rate):
    """A step, and the loss over all samples before it."""
    gradient = jax.grad(mean_loss)(params, data[0][chosen], data[1][chosen])
    return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient), mean_loss(params, *data)


# %% [markdown]
# Analyses may take half of the time here, because the training takes only seconds; in a real one leave the default of 5 percent. The
# first analysis compiles; that is done before the clock starts.

# %%
analyse = linstab.integrations.jax.analyser(apply, data, loss="half_squared_error", num_samples=40, seed=SEED)
generator = np.random.default_rng(SEED)
params = initial_params(SEED)
analyse(params)
with linstab.Monitor(analyse, optimizer="sgd", batch_size=BATCH_SIZE, every=250, budget=0.5, log=path) as monitor:
    for step in range(NUM_STEPS):
        learning_rate = RAISED_TO if step in RAISED else LEARNING_RATE
        params, loss = update(params, generator.choice(NUM_SAMPLES, BATCH_SIZE, replace=False), learning_rate)
        monitor.step(step, params, loss=loss, learning_rate=learning_rate)

# %%
print("  step      loss  learning rate  largest stable  +- error")
for record in monitor.records:
    if record.max_learning_rate is not None:
        error = record.standard_error or 0.0
        print(f"{record.step:6} {record.loss:9.2e} {record.learning_rate:14.3g} {record.max_learning_rate:15.3g} {error:9.2g}")
print(f"analyses took {monitor.share:.0%} of the time; every line is in {path}")

# %% [markdown]
# `monitor.plot()` draws the two learning rates over the steps.

# %%
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    sys.exit(0 if any(spike.step in RAISED and spike.responsible_samples for spike in monitor.spikes) else 1)
