"""Probes: what frozen features tell of labels, by their neighbors and by a linear map. Nothing is trained by gradient or drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize, one_hot


@dataclass(frozen=True)
class Labeled:
    """Frozen features with their labels.

    Attributes:
        features: One row per thing (a place, a ground cell).
        label: Its class.
    """

    features: Float[Tensor, "n d"]
    label: Int[Tensor, " n"]


@torch.no_grad()
def neighbors(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], asked: Float[Tensor, "m d"], k: int = 20, temperature: float = 0.07
) -> Float[Tensor, "m k"]:
    """Return the mean of `y` over the `k` nearest rows of `x` by cosine, weighed by exp(cosine / temperature).

    The protocol of arXiv:1805.01978, with its k = 200 reduced as training sets here are small.
    """
    candidates = normalize(x.float(), dim=1)
    found = [y[:0].float()]
    for part in torch.split(normalize(asked.float(), dim=1), 1024):
        near = (part @ candidates.T).topk(min(k, len(candidates)), 1)
        weight = ((near.values - 1) / temperature).exp()
        weight = weight / weight.sum(1, keepdim=True)
        found.append((weight[:, :, None] * y.float()[near.indices]).sum(1))
    return torch.cat(found)


@torch.no_grad()
def ridge(x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], asked: Float[Tensor, "m d"], penalty: float = 1e-2) -> Float[Tensor, "m k"]:
    """Return what ridge regression of `y` on standardised features says of other rows: a linear probe in closed form.

    `penalty` is relative to the variance of the features. Solved in float64.
    """
    x = x.double()
    mean, std = x.mean(0), x.std(0, correction=0).clamp(min=1e-12)
    x = (x - mean) / std
    level = y.double().mean(0)
    gram = x.T @ x + penalty * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ (y.double() - level))
    return (asked.double() - mean) / std @ weight + level


def knn(train: Labeled, test: Labeled, num_classes: int, k: int = 20, temperature: float = 0.07) -> Int[Tensor, " m"]:
    """Predict the class of each test row by a vote of its neighbors."""
    return neighbors(train.features, one_hot(train.label, num_classes).float(), test.features, k, temperature).argmax(1)


def linear(train: Labeled, test: Labeled, num_classes: int, penalty: float = 1e-2) -> Int[Tensor, " m"]:
    """Predict the class of each test row by ridge regression of the classes' indicators."""
    return ridge(train.features, one_hot(train.label, num_classes).double(), test.features, penalty).argmax(1)


def macro_f1(predicted: Int[Tensor, " m"], label: Int[Tensor, " m"], num_classes: int) -> float:
    """Return the mean F1 over the classes that occur among the labels."""
    confusion = torch.bincount(label * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes).double()
    right, wanted, given = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    f1 = 2 * right / (wanted + given).clamp(min=1)
    return f1[wanted > 0].mean().item()


def probes(train: Mapping[str, Labeled], test: Mapping[str, Labeled], num_classes: int) -> Iterator[tuple[str, float]]:
    """Yield `knn/name` (accuracy), `probe/name` (accuracy of the linear probe) and `probe_f1/name` (its macro F1) for each sensor.

    Sensors without labeled rows on either side are left out.
    """
    for name, known in train.items():
        asked = test.get(name)
        if asked is None or not len(known.label) or not len(asked.label):
            continue
        yield f"knn/{name}", (knn(known, asked, num_classes) == asked.label).double().mean().item()
        found = linear(known, asked, num_classes)
        yield f"probe/{name}", (found == asked.label).double().mean().item()
        yield f"probe_f1/{name}", macro_f1(found, asked.label, num_classes)
