# %% [markdown]
# # A convolutional network in JAX: train, analyse, restart
#
# A network is trained until it fits a hundred handwritten digits exactly. `linstab` says up to which learning rate SGD stays at this
# minimum. Then training starts again next to it, below and above: does it stay, does it leave?
#
# Needs `linstab[jax]` and `optax`; some seconds.

# %%
from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import linstab
import linstab.jax
import numpy as np
from digits_network import apply, beside, initial_params, load_digits, mean_loss, one_hot, polish, train

NUM_SAMPLES, BATCH_SIZE, SEED = 100, 10, 0
images, labels = load_digits(NUM_SAMPLES)
data = jnp.asarray(images), jnp.asarray(one_hot(labels))

# %% [markdown]
# ## Train
# Adam, then Gauss-Newton steps until nothing is left of the loss.

# %%
params, _ = train(initial_params(SEED), *data)
print(f"loss after Adam: {mean_loss(params, *data):.1e}")
minimum = polish(params, *data)
print(f"loss after the polish: {mean_loss(minimum, *data):.1e}")

# %% [markdown]
# ## Analyse
# Factors are the gradients of the outputs of each sample, in the scale of the loss that is named.

# %%
factors = linstab.jax.factors(apply, minimum, data, loss="half_squared_error")
analysis = linstab.analyze(factors, batch_size=BATCH_SIZE, optimizer="sgd")
print(analysis)

# %% [markdown]
# ## Restart
# Twenty runs at 0.95 of the threshold and twenty at 1.2, each next to the minimum in a direction of its own, with independent batches.


# %%
@jax.jit
def run(params, batches, learning_rate):
    """Losses over all samples at the end of SGD on the given batches."""

    def step(params, chosen):
        gradient = jax.grad(mean_loss)(params, data[0][chosen], data[1][chosen])
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient), None

    return mean_loss(jax.lax.scan(step, params, batches)[0], *data)


def restart(ratio: float, num_runs: int = 20, num_steps: int = 4000) -> np.ndarray:
    """By how many orders of magnitude the loss of each run has changed."""
    generator = np.random.default_rng(SEED)
    starts = beside(minimum, generator, distance=1e-8, num_runs=num_runs)
    before = jax.vmap(lambda p: mean_loss(p, *data))(starts)
    orders = np.argsort(generator.random((num_runs, num_steps, NUM_SAMPLES)), axis=2)
    after = jax.vmap(run, in_axes=(0, 0, None))(starts, orders[:, :, :BATCH_SIZE], ratio * analysis.max_learning_rate)
    # A run that has left for good has no finite loss any more.
    return np.nan_to_num(np.log10(np.asarray(after) / np.asarray(before)), nan=np.inf)


below, above = restart(0.95), restart(1.2)
print(f"at 0.95 of the threshold {np.sum(below < 0)} of {len(below)} runs decay, by 10^{np.median(below):.1f} in the median")
print(f"at 1.20 of the threshold {np.sum(above > 0)} of {len(above)} runs grow, by 10^{np.median(above):.1f} in the median")

# %%
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    sys.exit(0 if np.sum(below < 0) >= 19 and np.sum(above > 0) >= 19 else 1)
