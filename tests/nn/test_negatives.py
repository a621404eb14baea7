"""Log-sum-exp over negatives, tile by tile: equal to the full matrix, with exact gradients, in memory linear in the rows."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from omnifuse.losses import info_nce, info_nce_sums, unit
from omnifuse.nn.exchange import show
from omnifuse.nn.negatives import Marks, Negatives

RULES = [{}, {"radius": 30.0}, {"radius": 30.0, "duplicate_cosine": 0.5}]


def random(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(n, d, generator=generator, dtype=torch.float64)).requires_grad_()


def marks(n: int, twin: torch.Tensor | None = None) -> Marks:
    position = torch.rand(n, 2, generator=torch.Generator().manual_seed(n)) * 100
    empty = torch.zeros(n, 0, dtype=torch.float64)
    return Marks(torch.arange(n), torch.arange(n) // 4, position, empty if twin is None else twin.detach())


@pytest.mark.parametrize("tile", [3, 100], ids=["tiles", "kept"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_gradients_are_exact(tile: int, rule: dict[str, float]) -> None:
    a, b, scale = random(7, 4, 0), random(9, 4, 1), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    negatives, of_a, of_b = Negatives(tile=tile, **rule), marks(7, b[:7]), marks(9, torch.cat([a, a[:2]]))

    def sums(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = negatives.sums(*inputs, of_a, of_b, [9])
        return found.rows, found.columns

    assert torch.autograd.gradcheck(sums, (a, b, scale))


@pytest.mark.parametrize("tile", [1, 5, 16, 100])
def test_tiles_equal_the_full_matrix(tile: int) -> None:
    answers = []
    for whole in (True, False):
        a, b = random(16, 8, 2), random(16, 8, 3)
        temperature = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
        if whole:
            loss = info_nce(a, b, temperature)
        else:
            loss = info_nce_sums(a, b, temperature, marks(16), Negatives(tile=tile), [16]).loss / 16
        loss.backward()
        answers.append((loss, a.grad, b.grad, temperature.grad))
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_hits_are_the_rows_nearest_to_their_positive() -> None:
    a = torch.eye(4)
    b = torch.eye(4)[[0, 1, 3, 2]]
    found = info_nce_sums(a, b, torch.tensor(0.1), marks(4), Negatives(tile=3), [4])
    assert found.hits_a == found.hits_b == 2


def test_rows_without_a_negative_cost_nothing_and_pass_no_gradient() -> None:
    a, b = random(3, 4, 0), random(3, 4, 1)
    same = Marks.of(torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long), torch.zeros(3, 2))
    assert (Negatives().sums(a, b, torch.tensor(9.0), same, same, [3]).rows == -torch.inf).all()
    found = info_nce_sums(a, b, torch.tensor(0.1), same, Negatives(), [3])
    found.loss.backward()
    assert found.loss == 0 and not a.grad.any() and not b.grad.any()


def test_no_rows_at_all_are_zero_with_zero_gradients() -> None:
    a, b, temperature = (torch.zeros(shape, requires_grad=True) for shape in ((0, 4), (0, 4), ()))
    found = info_nce_sums(a, b, temperature + 0.1, marks(0), Negatives(), [0])
    found.loss.backward()
    assert found.loss == 0 and temperature.grad == 0 and a.grad is not None and b.grad is not None


def test_large_logits_neither_overflow_nor_vanish() -> None:
    a = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    found = info_nce_sums(a, a.detach(), torch.tensor(1e-3), marks(2), Negatives(), [2])
    found.loss.backward()
    assert found.loss == 0 and a.grad.isfinite().all()
    crossed = info_nce_sums(a, -a.detach(), torch.tensor(1e-3), marks(2), Negatives(), [2])
    assert crossed.loss.item() == pytest.approx(2 * 2000)


def test_autocast_changes_nothing() -> None:
    a, b = (random(32, 8, seed).detach().float() for seed in (0, 1))
    plain = info_nce_sums(a, b, torch.tensor(0.02), marks(32), Negatives(), [32]).loss
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce_sums(a, b, torch.tensor(0.02), marks(32), Negatives(), [32]).loss
    assert inside.dtype == torch.float32 and torch.equal(inside, plain)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else (result,):
            if isinstance(x, torch.Tensor):
                self.most = max(self.most, x.numel())
        return result


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_no_tensor_grows_with_the_square_of_the_rows(rule: dict[str, float]) -> None:
    n, d, tile = 300, 4, 20
    a, b = random(n, d, 0), random(n, d, 1)
    with Largest() as largest:
        info_nce_sums(a, b, torch.tensor(0.1, dtype=torch.float64), marks(n), Negatives(tile=tile, **rule), [n]).loss.backward()
    assert largest.most <= max(n * d, 2 * tile**2)


def test_what_is_shown_to_one_process_is_its_own() -> None:
    rows = (torch.arange(3.0),)
    shown: list[torch.Tensor] = []

    def work(fixed: tuple[torch.Tensor, ...], added: tuple[torch.Tensor, ...]) -> None:
        shown.append(fixed[0])
        added[0].add_(1)

    (added,) = show(rows, lambda n: (torch.zeros(n),), work, lambda *_: pytest.fail("nothing to combine"), [3], Negatives().processes)
    assert torch.equal(shown[0], rows[0]) and torch.equal(added, torch.ones(3))
