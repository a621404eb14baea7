"""Health of embeddings while pretraining: do two views of one place find each other, and has the space collapsed?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class RetrievalScores:
    """Share of rows whose counterpart is the nearest (or among the five nearest) of all candidates, in 0..1.

    Chance is 1/n and 5/n for `n` candidates: compare figures of the same `n` only. NaN without rows.
    """

    num_candidates: int
    a_to_b_top1: float
    a_to_b_top5: float
    b_to_a_top1: float
    b_to_a_top5: float


@torch.no_grad()
def retrieval(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], chunk: int = 1024) -> RetrievalScores:
    """Look for row i of `b` from row i of `a` by cosine, and the other way round.

    A tie is a miss, so that a collapsed space does not score. Memory is `chunk` × n similarities.
    """
    forth, back = ranks(a, b, chunk), ranks(b, a, chunk)
    shares = [(rank < k).double().mean().item() for rank in (forth, back) for k in (1, 5)]
    return RetrievalScores(len(a), *shares)


@torch.no_grad()
def effective_rank(x: Float[Tensor, "n d"]) -> float:
    """Return the exponential of the entropy of the singular values (RankMe, arXiv:2210.02885): 1 collapsed, d at best."""
    values = torch.linalg.svdvals(x.double())
    share = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return torch.special.entr(share).sum().exp().item()


@torch.no_grad()
def alignment(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> float:
    """Return the mean squared distance of counterparts on the unit sphere (arXiv:2005.10242): 0 at best, 2 for strangers."""
    return (normalize(a.double(), dim=1) - normalize(b.double(), dim=1)).square().sum(1).mean().item()


@torch.no_grad()
def uniformity(x: Float[Tensor, "n d"]) -> float:
    """Return the log of the mean Gaussian potential over pairs on the unit sphere (arXiv:2005.10242).

    0 when collapsed, towards -4 when spread out in many dimensions. Memory is n²/2 distances.
    """
    distance = torch.pdist(normalize(x.double(), dim=1))
    return distance.square().mul(-2).exp().mean().log().item()


def health(embedded: Mapping[str, Float[Tensor, "_n d"]], row: Mapping[str, Int[Tensor, " _n"]]) -> Iterator[tuple[str, float]]:
    """Yield what tells learning from collapse, by name.

    Args:
        embedded: One embedding per sensor and thing seen (a place, or a ground cell).
        row: What each embedding is of, once per sensor: equal numbers of two sensors are counterparts.

    Yields:
        Per pair of sensors with counterparts `retrieval_top1/a-b` (mean of both directions) and `alignment/a-b`, per direction
        `top1/a>b` and `top5/a>b`, per pair the number of `candidates/a-b`; per sensor `uniformity/a` and `rank/a`.
    """
    for a, b in combinations(embedded, 2):
        order_a, order_b = row[a].argsort(), row[b].argsort()
        of_a, of_b = order_a[torch.isin(row[a][order_a], row[b])], order_b[torch.isin(row[b][order_b], row[a])]
        if not len(of_a):
            continue
        one, other = embedded[a][of_a], embedded[b][of_b]
        found = retrieval(one, other)
        yield f"retrieval_top1/{a}-{b}", (found.a_to_b_top1 + found.b_to_a_top1) / 2
        yield f"top1/{a}>{b}", found.a_to_b_top1
        yield f"top5/{a}>{b}", found.a_to_b_top5
        yield f"top1/{b}>{a}", found.b_to_a_top1
        yield f"top5/{b}>{a}", found.b_to_a_top5
        yield f"alignment/{a}-{b}", alignment(one, other)
        yield f"candidates/{a}-{b}", float(found.num_candidates)
    for name, x in embedded.items():
        if len(x) > 1:
            yield f"uniformity/{name}", uniformity(x[:4096])  # pairs: 4096 rows are 67 MB
            yield f"rank/{name}", effective_rank(x)


@torch.no_grad()
def ranks(queries: Float[Tensor, "n d"], candidates: Float[Tensor, "n d"], chunk: int = 1024) -> Int[Tensor, " n"]:
    """Return how many other candidates are at least as near by cosine to each query as its counterpart; 0 is found."""
    queries, candidates = normalize(queries.float(), dim=1), normalize(candidates.float(), dim=1)
    found = [torch.zeros(0, dtype=torch.long, device=queries.device)]
    for start in range(0, len(queries), chunk):
        similarity = queries[start : start + chunk] @ candidates.T
        row = torch.arange(len(similarity), device=queries.device)
        own = similarity[row, start + row].unsqueeze(1).clone()
        found.append((similarity >= own).sum(1) - 1)
    return torch.cat(found)
