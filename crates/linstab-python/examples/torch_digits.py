# %% [markdown]
# # A convolutional network in PyTorch: train, analyse, restart
#
# A network is trained until it fits a hundred handwritten digits exactly. `linstab` reads the optimizer and says up to which learning
# rate it stays at this minimum. Then training starts again next to it, below and above: does it stay, does it leave?
#
# Needs `linstab[torch]`; a minute.

# %%
from __future__ import annotations

import copy
import sys
from pathlib import Path

import linstab.torch
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.data import DataLoader, TensorDataset

NUM_SAMPLES, NUM_CLASSES, BATCH_SIZE, SEED = 100, 10, 10, 0
# So that a run can decay over many orders of magnitude.
torch.set_default_dtype(torch.float64)


def load_digits(num_samples: int) -> tuple[Tensor, Tensor]:
    """The first images of `data/digits`, (samples, 1, 8, 8), pixels in 0..1, and one-hot targets."""
    # A notebook has no file: it looks from where it runs.
    here = Path(globals().get("__file__", "notebook")).resolve()
    tables = (folder / "data" / "digits" / "digits.csv" for folder in here.parents)
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        raise FileNotFoundError("data/digits/digits.csv: run the examples from a clone of the repository")
    rows = torch.from_numpy(np.loadtxt(table, delimiter=",", max_rows=num_samples))
    images = rows[:, :64].reshape(-1, 1, 8, 8) / 16
    return images, nn.functional.one_hot(rows[:, 64].long(), NUM_CLASSES).to(images)


torch.manual_seed(SEED)
images, targets = load_digits(NUM_SAMPLES)
# Smooth activations: next to the minimum the network is as good as linear.
model = nn.Sequential(
    *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Tanh()),
    *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.Tanh()),
    *(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, NUM_CLASSES)),
)
loss = nn.MSELoss()

# %% [markdown]
# ## Train
# Adam, then Gauss-Newton steps of least norm until nothing is left of the loss: the factors are the rows of the Jacobian, their
# coefficients the residuals.

# %%
adam = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(1500):
    adam.zero_grad()
    loss(model(images), targets).backward()
    adam.step()


def mean_loss(network: nn.Module) -> float:
    with torch.no_grad():
        return float(loss(network(images), targets))


print(f"loss after Adam: {mean_loss(model):.1e}")
for _ in range(30):
    if mean_loss(model) < 1e-28:
        break
    factors = linstab.torch.factors(model, (images, targets), loss=loss)
    rows, inner = factors.values.reshape(-1, factors.num_parameters), factors.gram().values
    # Far below what the products can tell from zero: it only keeps the solve from dividing by zero.
    inner += 1e-13 * np.trace(inner) / len(inner) * np.eye(len(inner))
    move = rows.T @ np.linalg.solve(inner, factors.coefficients.reshape(-1))
    vector_to_parameters(parameters_to_vector(model.parameters()).detach() - torch.from_numpy(move), model.parameters())
print(f"loss after the polish: {mean_loss(model):.1e}")

# %% [markdown]
# ## Analyse
# Five lines: the loader says the batch size, the optimizer its rule. Batches are drawn afresh at each step here; a shuffled loader is
# analysed without `sampling=`, as an estimate with an interval.

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(images, targets), batch_size=BATCH_SIZE, shuffle=True)
analysis = linstab.torch.analyze_model(model, loader, optimizer, loss=loss, sampling="without-replacement")
lower, upper = analysis.interval
print(f"stable at {optimizer.param_groups[0]['lr']}: {analysis.stable}; largest stable learning rate {lower:.6g} to {upper:.6g}")

# %% [markdown]
# ## Restart
# Twenty runs at 0.95 of the threshold and twenty at 1.2, each next to the minimum in a direction of its own, with batches of its own.


# %%
def restart(ratio: float, num_runs: int = 20, num_steps: int = 600, distance: float = 1e-8) -> np.ndarray:
    """By how many orders of magnitude the loss of each run has changed."""
    generator = torch.Generator().manual_seed(SEED)
    minimum = parameters_to_vector(model.parameters()).detach()
    run, changes = copy.deepcopy(model), []
    sgd = torch.optim.SGD(run.parameters(), lr=ratio * analysis.max_learning_rate)
    for _ in range(num_runs):
        direction = torch.randn(len(minimum), generator=generator)
        vector_to_parameters(minimum + distance * direction / direction.norm(), run.parameters())
        losses = [mean_loss(run)]
        for _ in range(num_steps):
            chosen = torch.randperm(NUM_SAMPLES, generator=generator)[:BATCH_SIZE]
            sgd.zero_grad()
            loss(run(images[chosen]), targets[chosen]).backward()
            sgd.step()
        losses.append(mean_loss(run))
        # A run that has left for good has no finite loss any more.
        changes.append(np.nan_to_num(np.log10(losses[1] / losses[0]), nan=np.inf))
    return np.array(changes)


below, above = restart(0.95), restart(1.2)
print(f"at 0.95 of the threshold {np.sum(below < 0)} of {len(below)} runs decay, by 10^{np.median(below):.1f} in the median")
print(f"at 1.20 of the threshold {np.sum(above > 0)} of {len(above)} runs grow, by 10^{np.median(above):.1f} in the median")

# %%
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    sys.exit(0 if np.sum(below < 0) >= 19 and np.sum(above > 0) >= 19 else 1)
