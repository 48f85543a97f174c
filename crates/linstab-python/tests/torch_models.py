"""Small networks of many kinds of layer, each with inputs, for the tests of the torch door."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

CLASSES = 3
SAMPLES = 7
LENGTH = 5
WIDTH = 6


class Sequence(nn.Module):
    """A recurrent layer over a sequence, and the last state to outputs."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.recurrent = kind(WIDTH, 4, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


class Words(nn.Module):
    """Embedded tokens, averaged over positions after a nonlinearity."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, WIDTH, **settings)  # type: ignore[arg-type]
        self.hidden = nn.Linear(WIDTH, 5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.embedding(tokens))).mean(1))


class Attention(nn.Module):
    """Tokens that attend to one another."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Transformer(nn.Module):
    """An encoder layer; with ``batch_first=False`` the batch is the second axis inside."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.encoder = nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, batch_first=batch_first)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if self.batch_first:
            return self.head(self.encoder(x).mean(1))
        return self.head(self.encoder(x.transpose(0, 1)).mean(0))


class TwoInputs(nn.Module):
    """A bilinear layer of the two halves of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.bilinear = nn.Bilinear(3, 3, 4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.bilinear(x[:, :3], x[:, 3:])))


class TiedModules(nn.Module):
    """Two Linear layers that hold the same weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.second.weight = self.first.weight
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class TiedByCode(nn.Module):
    """An embedding whose weight is also the output layer, as language models have it: read by code, not by a module."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES + 4, WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.tanh(self.hidden(self.embedding(tokens))).mean(1) @ self.embedding.weight.T


class Repeated(nn.Module):
    """One Linear layer that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + torch.tanh(self.step(x))
        return self.head(x)


class Flattened(nn.Module):
    """A Linear layer on all tokens of all samples at once, (batch * tokens, width)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(WIDTH, 4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(x.reshape(-1, WIDTH))).reshape(len(x), -1, 4).mean(1))


class Unused(nn.Module):
    """A layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(WIDTH, CLASSES)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, CLASSES))


def head_of(layer: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(layer, nn.Tanh(), nn.Flatten(), nn.Linear(width, CLASSES))


def batch_norm() -> nn.Module:
    model = nn.Sequential(nn.Linear(WIDTH, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, CLASSES))
    with torch.no_grad():
        model(torch.randn(50, WIDTH) * 2 + 1)
    return model


def vectors() -> Tensor:
    return torch.randn(SAMPLES, WIDTH)


def sequences() -> Tensor:
    return torch.randn(SAMPLES, LENGTH, WIDTH)


def pictures() -> Tensor:
    return torch.randn(SAMPLES, 2, 6, 6)


def signals() -> Tensor:
    return torch.randn(SAMPLES, 2, 9)


def tokens() -> Tensor:
    return torch.randint(0, 7, (SAMPLES, LENGTH))


def in_place() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(inplace=True), nn.Linear(8, CLASSES))


def weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 5)), nn.Tanh(), nn.Linear(5, CLASSES))


def spectral_norm() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(WIDTH, 5)), nn.Tanh(), nn.Linear(5, CLASSES))


# Name: network, inputs. The name says the kind of layer.
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "linear": (mlp, vectors),
    "conv1d": (lambda: head_of(nn.Conv1d(2, 3, 3, stride=2, padding=1), 15), signals),
    "conv2d": (lambda: head_of(nn.Conv2d(2, 3, 3, stride=2, padding=(1, 0), dilation=1), 18), pictures),
    "conv2d-small-picture": (lambda: nn.Sequential(nn.AvgPool2d(3), head_of(nn.Conv2d(2, 16, 2), 16)), pictures),
    "conv2d-groups": (lambda: head_of(nn.Conv2d(2, 4, 3, groups=2, padding="same"), 144), pictures),
    "conv-transpose": (lambda: head_of(nn.ConvTranspose2d(2, 2, 2, stride=2), 288), pictures),
    "embedding": (Words, tokens),
    "embedding-padding": (lambda: Words(padding_idx=0), tokens),
    "embedding-sparse": (lambda: Words(sparse=True), tokens),
    "layer-norm": (lambda: nn.Sequential(nn.Linear(WIDTH, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, CLASSES)), vectors),
    "group-norm": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(64, CLASSES)), pictures),
    "batch-norm-eval": (batch_norm, vectors),
    "attention": (Attention, sequences),
    "transformer": (Transformer, sequences),
    "transformer-batch-second": (lambda: Transformer(batch_first=False), sequences),
    "lstm": (lambda: Sequence(nn.LSTM), sequences),
    "gru": (lambda: Sequence(nn.GRU), sequences),
    "weight-norm": (weight_norm, vectors),
    "spectral-norm-eval": (spectral_norm, vectors),
    "prelu": (lambda: nn.Sequential(nn.Linear(WIDTH, 5), nn.PReLU(5), nn.Linear(5, CLASSES)), vectors),
    "bilinear": (TwoInputs, vectors),
    "tied-modules": (TiedModules, vectors),
    "tied-by-code": (TiedByCode, tokens),
    "repeated": (Repeated, vectors),
    "flattened": (Flattened, sequences),
    "in-place": (in_place, vectors),
    "unused": (Unused, vectors),
}


def make(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network of this name in evaluation mode, and its inputs."""
    torch.manual_seed(seed)
    build, inputs = CASES[name]
    model, x = build().eval().to(dtype), inputs()
    return model, x.to(dtype) if x.is_floating_point() else x


def targets(loss: str, samples: int, outputs: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Targets that fit a loss."""
    generator = torch.Generator().manual_seed(5)
    if loss == "cross_entropy":
        return torch.randint(0, outputs, (samples,), generator=generator)
    return torch.randn(samples, outputs, generator=generator, dtype=torch.float64).to(dtype)


def jacobian(model: nn.Module, x: Tensor) -> Tensor:
    """Jacobian of one sample by plain autograd, (outputs, parameters), shared tensors once, unused ones zero."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for output in model(x[None]).reshape(-1):
        found = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
        dense = [torch.zeros_like(p) if g is None else g.to_dense() for p, g in zip(parameters, found, strict=True)]
        rows.append(torch.cat([g.reshape(-1) for g in dense]))
    return torch.stack(rows)


def torch_loss(loss: str, z: Tensor, y: Tensor) -> Tensor:
    """Loss of one sample (or the mean over several), as torch computes it."""
    if loss == "cross_entropy":
        return nn.functional.cross_entropy(z, y)
    return nn.functional.mse_loss(z, y) if loss == "mse" else 0.5 * ((z - y) ** 2).sum(1).mean()
