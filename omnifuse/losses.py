"""Losses as pure functions of tensors."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from omnifuse.nn.negatives import Marks, Negatives


def unit(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """Scale vectors (the last axis) to length one, in float32 at least: a length in bfloat16 is off by 0.4 %.

    Smooth at zero, where `functional.normalize` has a gradient of 1e12: a zero vector stays zero and passes a bounded
    gradient (at most 1e3).
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()


def info_nce(
    a: Float[Tensor, "b d"],
    b: Float[Tensor, "b d"],
    temperature: Float[Tensor, ""] | float,
    ignored: Bool[Tensor, "b b"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE of matching rows, the mean of both directions (arXiv:1807.03748, arXiv:2103.00020).

    The plain form, on one process with the whole matrix of logits: what `info_nce_sums` must agree with. Computed in float32
    (or wider) whatever the autocast state: a bfloat16 logit at scale 100 is off by 0.2.

    Args:
        a: L2-normalised embeddings of one sensor.
        b: L2-normalised embeddings of another sensor; row i is the positive of row i of `a`, all others are negatives.
        temperature: Divides the cosine similarities; positive.
        ignored: Pairs (row of `a`, row of `b`) that are neither positive nor negative, such as near-duplicates. The
            diagonal is never ignored.

    Returns:
        Mean over rows and directions in nats; zero, with zero gradients, for no rows. Equal embeddings give log b.
    """
    if a.shape != b.shape:
        raise ValueError(f"a {tuple(a.shape)} and b {tuple(b.shape)} must have the same shape.")
    with torch.autocast(a.device.type, enabled=False):
        wide = torch.float64 if a.dtype == torch.float64 else torch.float32
        logits = a.to(wide) @ b.to(wide).T / temperature
        if len(a) == 0:
            return logits.sum() + 0 * (a.sum() + b.sum())
        if ignored is not None:
            diagonal = torch.eye(len(a), dtype=torch.bool, device=a.device)
            logits = logits.masked_fill(ignored & ~diagonal, -torch.inf)
        target = torch.arange(len(a), device=a.device)
        return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


@dataclass(frozen=True)
class Contrasted:
    """Sums over the rows of this process; divided by the rows of all processes they are means.

    Attributes:
        loss: In nats, the mean of both directions.
        hits_a: Rows of `a` nearer to their positive than to any negative.
        hits_b: The same for rows of `b`.
    """

    loss: Float[Tensor, ""]
    hits_a: Float[Tensor, ""]
    hits_b: Float[Tensor, ""]


def info_nce_sums(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    temperature: Float[Tensor, ""],
    marks: Marks,
    negatives: Negatives,
    held: list[int],
) -> Contrasted:
    """InfoNCE of matching rows with negatives from all processes, in memory linear in the rows (arXiv:1807.03748).

    A collective call, also with no rows. The gradient is that of the sum of the losses of *all* processes: with the average over
    processes that DDP takes, multiply the loss by the number of processes and divide it by the rows of all.

    Args:
        a: L2-normalised embeddings of one sensor, this process's.
        b: L2-normalised embeddings of another sensor; row i is the positive of row i of `a`.
        temperature: Divides the cosine similarities; positive.
        marks: What the rows are of; `twin` is filled in here.
        negatives: Which rows are compared, and how.
        held: Rows of each process.
    """
    width = a.shape[1] if negatives.duplicate_cosine < 1 else 0
    wide = torch.float64 if a.dtype == torch.float64 else torch.float32
    a_marks, b_marks = (replace(marks, twin=x[:, :width].detach().to(wide)) for x in (b, a))
    scale = 1 / temperature
    found = negatives.sums(a, b, scale, a_marks, b_marks, held)
    with torch.autocast(a.device.type, enabled=False):
        positive = (a.to(wide) * b.to(wide)).sum(1) * scale.to(wide)
        loss = (_log1p_exp(found.rows - positive) + _log1p_exp(found.columns - positive)).sum() / 2
    return Contrasted(loss, *((positive > most).sum().to(wide) for most in (found.rows_most, found.columns_most)))


def _log1p_exp(x: Tensor) -> Tensor:
    return functional.softplus(x, threshold=50)  # the default threshold of 20 is off by 2e-9


def cross_entropy(
    logits: Float[Tensor, "b k h w"],
    target: Int[Tensor, "b h w"],
    ignore: int = -1,
    weight: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the pixels that count; zero, with zero gradients, where none does."""
    total = functional.cross_entropy(logits.float(), target.long(), weight=weight, ignore_index=ignore, reduction="sum")
    if weight is None:
        return total / (target != ignore).sum().clamp(min=1)
    return total / weight[target[target != ignore].long()].sum().clamp(min=1e-6)  # weights of a few places may sum to less than 1


def dice(logits: Float[Tensor, "b k h w"], target: Int[Tensor, "b h w"], ignore: int = -1) -> Float[Tensor, ""]:
    """One minus the soft Dice score, averaged over the classes that occur in `target` (arXiv:1606.04797).

    Sums run over the whole batch, so that a class that is rare in each place still counts once. Zero without any label.
    """
    counted = (target != ignore)[:, None]
    probability = logits.float().softmax(1) * counted
    truth = functional.one_hot(target.long().masked_fill(~counted[:, 0], 0), logits.shape[1]).movedim(-1, 1) * counted
    overlap = (probability * truth).sum((0, 2, 3))
    occurs = truth.sum((0, 2, 3)) > 0
    score = 2 * overlap / (probability.sum((0, 2, 3)) + truth.sum((0, 2, 3))).clamp(min=1e-6)
    return ((1 - score) * occurs).sum() / occurs.sum().clamp(min=1)


def binary_cross_entropy(
    logits: Float[Tensor, "b k"], target: Float[Tensor, "b k"], weight: Float[Tensor, " k"] | None = None
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy over the values that are known (NaN is unknown); zero, with zero gradients, where none is."""
    known = target.isfinite()
    each = functional.binary_cross_entropy_with_logits(logits.float(), target.float().where(known, 0), reduction="none")
    share = known.float() if weight is None else known * weight
    return (each * share).sum() / share.sum().clamp(min=1e-6)


def smooth_l1(predicted: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], beta: float = 1.0) -> Float[Tensor, ""]:
    """Mean smooth L1 loss over the values that are known (NaN is unknown); zero, with zero gradients, where none is."""
    known = target.isfinite()
    truth = target.float().where(known, predicted.detach().float())
    each = functional.smooth_l1_loss(predicted.float(), truth, reduction="none", beta=beta)
    return (each * known).sum() / known.sum().clamp(min=1)
