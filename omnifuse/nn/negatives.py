"""Log-sum-exp over the negatives of all processes, tile by tile: the one costly part of every contrastive loss here.

The matrix of logits is never held. Each tile is computed, added to running log-sum-exps of its rows *and* columns, and forgotten; the
backward pass computes it again. Memory is linear in the rows of a process. All tiles of a process are of its own rows, so that the work
is shared out; the other sensor's rows are shown to all (`exchange.show`), and gradients for them come home the same way.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from omnifuse.nn.exchange import Processes, Rows, scatter_sum, show


@dataclass(frozen=True)
class Marks:
    """What decides which rows are no negatives of each other; it travels with the rows.

    Attributes:
        ground: Rows with the same number are no negatives: they are the same ground.
        place: Number of the place.
        position: Metres from the upper left corner of the place.
        twin: The row's positive (detached), where duplicates are told by cosine; else of width 0.
    """

    ground: Int[Tensor, " n"]
    place: Int[Tensor, " n"]
    position: Float[Tensor, "n 2"]
    twin: Float[Tensor, "n _d"]

    @staticmethod
    def of(ground: Int[Tensor, " n"], place: Int[Tensor, " n"], position: Float[Tensor, "n 2"]) -> "Marks":
        """Return marks without twins."""
        return Marks(ground, place, position, position.new_zeros(len(ground), 0))

    @property
    def rows(self) -> Rows:
        return self.ground, self.place, self.position, self.twin

    def __getitem__(self, where: slice) -> "Marks":
        return Marks(*(x[where] for x in self.rows))


@dataclass(frozen=True)
class Sums:
    """For each row of this process, over its negatives in all processes.

    Attributes:
        rows: Log-sum-exp of the logits of a row of `a` with its negatives in `b`; -inf without any.
        columns: The same for a row of `b` with its negatives in `a`.
        rows_most: Largest such logit of each row; without a gradient, as the next.
        columns_most: Largest such logit of each column.
    """

    rows: Float[Tensor, " n"]
    columns: Float[Tensor, " m"]
    rows_most: Float[Tensor, " n"]
    columns_most: Float[Tensor, " m"]


@dataclass(frozen=True)
class Negatives:
    """Which rows are compared, and how.

    Attributes:
        processes: Where negatives come from.
        tile: Rows and columns of a tile. Up to one tile of logits is kept for the backward pass; more is computed again.
        radius: Rows of the same place nearer than this, in metres, are no negatives of each other.
        duplicate_cosine: A candidate is no negative if its cosine with the positive (the same sensor) is above; 1 is never.
    """

    processes: Processes = Processes()  # noqa: RUF009  (frozen)
    tile: int = 1024
    radius: float = 0.0
    duplicate_cosine: float = 1.0

    def sums(
        self,
        a: Float[Tensor, "n d"],
        b: Float[Tensor, "m d"],
        scale: Float[Tensor, ""],
        a_marks: Marks,
        b_marks: Marks,
        held: list[int],
    ) -> Sums:
        """Compare this process's rows of `a` with all rows of `b`, and its rows of `b` with all rows of `a`, at once.

        Computed in float32 (or wider) whatever the autocast state. A collective call, also with no rows.

        Args:
            a: Rows of one sensor, this process's.
            b: Rows of another sensor, or of the same.
            scale: Multiplies the dot products.
            a_marks: Of the rows of `a`.
            b_marks: Of the rows of `b`.
            held: Rows of `b` of each process.
        """
        with torch.autocast(a.device.type, enabled=False):
            wide = torch.float64 if a.dtype == torch.float64 else torch.float32
            return Sums(*_LogSums.apply(a.to(wide), b.to(wide), scale.to(wide), _Plan(self, a_marks, b_marks, held)))

    def excluded(self, a: Tensor, b: Tensor, rows: Marks, columns: Marks) -> tuple[Bool[Tensor, "n m"], Bool[Tensor, "n m"]]:
        """Return which pairs are no negatives: for the rows, and for the columns."""
        mask = rows.ground[:, None] == columns.ground
        if self.radius:
            apart = [rows.position[:, None, i] - columns.position[None, :, i] for i in (0, 1)]  # exact: no matrix product
            near = apart[0].square_().add_(apart[1].square_()) < self.radius**2
            mask |= near & (rows.place[:, None] == columns.place)
        if self.duplicate_cosine >= 1:
            return mask, mask
        return mask | (rows.twin @ b.T > self.duplicate_cosine), mask | (a @ columns.twin.T > self.duplicate_cosine)


@dataclass(frozen=True)
class _Plan:
    """All that is not differentiated."""

    negatives: Negatives
    a_marks: Marks
    b_marks: Marks
    held: list[int]

    def keeps(self, rows: int) -> bool:
        """Whether the logits are few enough to be kept for the backward pass."""
        return rows * sum(self.held) <= self.negatives.tile**2

    def tiles(self, rows: int, columns: int) -> list[tuple[slice, slice]]:
        tile = self.negatives.tile
        return [(slice(i, i + tile), slice(j, j + tile)) for i in range(0, rows, tile) for j in range(0, columns, tile)]

    def logits(self, a: Tensor, b: Tensor, scale: Tensor, rows: Marks, columns: Marks) -> tuple[Tensor, Tensor]:
        """Return a tile's logits as its rows and as its columns see them: -inf where a pair is no negative."""
        logits = (a @ b.T).mul_(scale)
        for_rows, for_columns = self.negatives.excluded(a, b, rows, columns)
        if for_rows is for_columns:
            logits.masked_fill_(for_rows, -torch.inf)
            return logits, logits
        return logits.masked_fill(for_rows, -torch.inf), logits.masked_fill_(for_columns, -torch.inf)


class _LogSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: Tensor, plan: _Plan) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        kept: list[tuple[Tensor, Tensor]] | None = [] if plan.keeps(len(a)) else None
        rows = _nothing(len(a), a)

        def work(fixed: Rows, columns: Rows) -> None:
            b, b_marks = fixed[0], Marks(*fixed[1:])
            for i, j in plan.tiles(len(a), len(b)):
                tile = plan.logits(a[i], b[j], scale, plan.a_marks[i], b_marks[j])
                _add(rows, i, tile[0], 1)
                _add(columns, j, tile[1], 0)
                if kept is not None:
                    kept.append(tile)

        fixed = (b, *plan.b_marks.rows)
        columns = show(fixed, lambda n: _nothing(n, b), work, _combined, plan.held, plan.negatives.processes)
        answers = _log_sum(rows), _log_sum(columns), rows[0], columns[0]
        ctx.save_for_backward(a, b, scale, *answers[:2])
        ctx.plan, ctx.kept = plan, kept
        ctx.mark_non_differentiable(*answers[2:])
        return answers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, rows_grad: Tensor, columns_grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        a, b, scale, rows_sum, columns_sum = ctx.saved_tensors
        plan, kept = ctx.plan, iter(ctx.kept) if ctx.kept is not None else None
        rows_sum, columns_sum = (x.masked_fill(x == -torch.inf, 0) for x in (rows_sum, columns_sum))  # nothing to share out there
        a_grad = torch.zeros_like(a)

        def work(fixed: Rows, added: Rows) -> None:
            b, columns_sum, columns_grad, b_marks = *fixed[:3], Marks(*fixed[3:])
            for i, j in plan.tiles(len(a), len(b)):
                seen = next(kept) if kept else plan.logits(a[i], b[j], scale, plan.a_marks[i], b_marks[j])
                share = (seen[0] - rows_sum[i, None]).exp_().mul_(rows_grad[i, None])
                share += (seen[1] - columns_sum[j]).exp_().mul_(columns_grad[j])
                a_grad[i].addmm_(share, b[j])
                added[0][j].addmm_(share.T, a[i])

        fixed = (b, columns_sum, columns_grad, *plan.b_marks.rows)
        with torch.autocast(a.device.type, enabled=False):  # as in the forward pass, wherever `backward` is called
            (b_grad,) = show(fixed, lambda n: (b.new_zeros(n, b.shape[1]),), work, _added, plan.held, plan.negatives.processes)
        ctx.kept = None
        scale_grad = torch.dot(a_grad.flatten(), a.flatten())
        return a_grad.mul_(scale), b_grad.mul_(scale), scale_grad, None


def _nothing(n: int, like: Tensor) -> Rows:
    """Return the running log-sum-exp of n rows that have seen nothing: the largest logit, and the sum of exp(logit - largest)."""
    return like.new_full((n,), -math.inf), like.new_zeros(n)


def _anchor(most: Tensor) -> Tensor:
    return most.masked_fill(most == -math.inf, 0)  # so that nothing seen is a sum of zero, not NaN


def _add(running: Rows, where: slice, logits: Tensor, dim: int) -> None:
    most, total = (x[where] for x in running)
    larger = torch.maximum(most, logits.amax(dim))
    anchor = _anchor(larger)
    total.mul_((most - anchor).exp_()).add_((logits - anchor.unsqueeze(dim)).exp_().sum(dim))
    most.copy_(larger)


def _log_sum(running: Rows) -> Tensor:
    return _anchor(running[0]) + running[1].log()


def _combined(running: Rows, held: Any, processes: Processes) -> Rows:
    """Add up what each process found for all columns, and return this process's."""
    most, total = running
    largest = most.clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    own = scatter_sum(total * (most - _anchor(largest)).exp_(), held, processes)
    return torch.split(largest, list(held))[processes.rank], own


def _added(rows: Rows, held: Any, processes: Processes) -> Rows:
    return tuple(scatter_sum(x, held, processes) for x in rows)
