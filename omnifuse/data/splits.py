"""Named splits: a value per place, such as a fold or the smallest label fraction that a place belongs to.

Every function is pure. What it draws is keyed by the seed and the id of a place, so a split does not depend on the order in which
the places are stored; ids must differ. Class weights are a row per place: 1 for a class that occurs there, or its pixels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from omnifuse import randomness
from omnifuse.errors import ConfigError, InputError

FRACTIONS = (1, 5, 10, 25, 50, 100)  # percent

ClassWeights = Shaped[np.ndarray, "n k"]


def fraction_column(ids: Sequence[str], weights: ClassWeights, seed: int, fractions: Sequence[int] = FRACTIONS) -> list[int]:
    """Return for each place the smallest label fraction, in percent, that it belongs to.

    So ten percent of the labels are the places with one of the values 1, 5 and 10: smaller fractions lie within larger ones. Sizes
    are exact (rounded, at least one place). A fraction first covers the classes that no smaller one has, the rarest first; what
    room remains is filled by `stratify`.

    Raises:
        ConfigError: where the fractions do not rise from above 0 to 100.
    """
    if not fractions or list(fractions) != sorted(set(fractions)) or fractions[0] <= 0 or fractions[-1] != 100:
        raise ConfigError(f"fractions {tuple(fractions)} must rise from above 0 to 100 percent. Try: {FRACTIONS}.")
    order = _seeded_order(ids, seed, "split/fraction")
    ranked = np.asarray(weights, np.float64)[order]
    cumulative = [min(len(ids), max(1, round(len(ids) * fraction / 100))) for fraction in fractions]
    sizes = np.diff([0, *cumulative])
    part = _cover(ranked > 0, sizes)
    left = np.flatnonzero(part < 0)
    done = np.stack([ranked[part == number].sum(0) for number in range(len(sizes))])
    wanted = ranked.sum(0) * (sizes / max(len(ids), 1))[:, None] - done
    rest = sizes - np.bincount(part[part >= 0], minlength=len(sizes))
    part[left] = stratify(ranked[left], rest, wanted)
    return _in_place(order, [fractions[number] for number in part])


def next_in_proportion(
    ids: Sequence[str], weights: ClassWeights, seed: int, taken: Bool[np.ndarray, " n"], among: Bool[np.ndarray, " n"], count: int
) -> Int[np.ndarray, " count"]:
    """Return `count` places to follow those taken, in their order: with each the classes are as near as can be to their share of all.

    Nearest is the smallest chi-square: the squared surplus of each class over its total. The order does not depend on `count`, so
    fewer places are the first of more.

    Args:
        ids: Of all places.
        weights: How much of each class they have.
        seed: Tells equally good places apart.
        taken: Those that are there already.
        among: Those to choose from.
        count: How many.
    """
    order = _seeded_order(ids, seed, "split/fraction")
    order = order[among[order]]
    scaled = np.asarray(weights, np.float64) / np.sqrt(np.maximum(np.sum(weights, 0), 1e-300))
    line = scaled.sum(0) / max(len(ids), 1)  # what a place of everything at once would bring
    surplus = scaled[taken].sum(0) - taken.sum() * line
    gain = scaled[order] - line
    own, free = np.square(gain).sum(1), np.ones(len(order), bool)
    chosen = np.empty(count, np.int64)
    for number in range(count):
        cost = np.round(2 * gain @ surplus + own, 12)  # so that the last bits of a product decide nothing
        best = int(np.argmin(np.where(free, cost, np.inf)))
        chosen[number], free[best] = order[best], False
        surplus += gain[best]
    return chosen


def fold_column(ids: Sequence[str], weights: ClassWeights, seed: int, folds: int, groups: Sequence[str] | None = None) -> list[int]:
    """Return the fold (1, 2, ...) of each place.

    Without groups the folds are stratified and differ by at most one place. With groups, such as the region of each place, no
    group is in two folds, and sizes and classes are as even as groups allow.

    Raises:
        ConfigError: for fewer than two folds, or more folds than places or groups.
    """
    units = len(ids) if groups is None else len(set(groups))
    if not 2 <= folds <= units:
        raise ConfigError(f"{folds} folds of {units} {'places' if groups is None else 'groups'}. Try: 2 to {units}.")
    if groups is not None:
        part = distribute_groups(groups, weights, np.full(folds, 1 / folds), seed)
        return [part[group] + 1 for group in groups]
    order = _seeded_order(ids, seed, "split/fold")
    ranked = np.asarray(weights, np.float64)[order]
    sizes = np.array([(len(ids) + fold) // folds for fold in range(folds)])
    part_of = stratify(ranked, sizes, ranked.sum(0) * (sizes / len(ids))[:, None])
    return _in_place(order, (part_of + 1).tolist())


def part_column(groups: Sequence[str], weights: ClassWeights, seed: int, shares: dict[str, float]) -> list[str]:
    """Return the part of each place, whole groups at a time: `shares` says which part of the places each shall have, roughly.

    Raises:
        ConfigError: where the shares are not positive or do not add up to 1, or there are fewer groups than parts.
    """
    if min(shares.values(), default=0) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"shares {shares} must be positive and add up to 1. Try: train 0.7, val 0.1, test 0.2.")
    if len(set(groups)) < len(shares):
        raise ConfigError(f"{len(set(groups))} groups cannot make {len(shares)} parts. Try: smaller blocks, or another key.")
    part = distribute_groups(groups, weights, np.array(list(shares.values())), seed)
    return [list(shares)[part[group]] for group in groups]


def named_parts(groups: Sequence[str], parts: dict[str, Sequence[str]], rest: str) -> list[str]:
    """Return the part that names the group of each place; a group that none names belongs to `rest`.

    Raises:
        InputError: for a named group that no place belongs to, or that two parts name.
    """
    owner: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name not in groups:
                raise InputError(f"split: no place has the value {name!r}. Try: values among {', '.join(sorted(set(groups))[:20])}.")
            if name in owner:
                raise InputError(f"split: {name!r} is named by {owner[name]!r} and {part!r}. Try: name it once.")
            owner[name] = part
    return [owner.get(group, rest) for group in groups]


def stratify(weights: Float[np.ndarray, "n k"], sizes: Int[np.ndarray, " p"], wanted: Float[np.ndarray, "p k"]) -> Int[np.ndarray, " n"]:
    """Return the part of each row by iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011), in parts of exactly `sizes`.

    The class that is left at the fewest rows comes first; each of its rows goes to the part that lacks most of it, then to the one
    with most room.

    Args:
        weights: How much of each class a row has; rows in the order in which they are to be placed.
        sizes: Rows of each part; they add up to n.
        wanted: How much of each class each part shall have.
    """
    part = np.full(len(weights), -1)
    room, wanted = sizes.copy(), wanted.copy()
    present = weights > 0
    while (left := present & (part < 0)[:, None]).any():
        rows = left.sum(0)
        rarest = int(np.argmin(np.where(rows > 0, rows, len(weights) + 1)))
        for row in np.flatnonzero(left[:, rarest]):
            best = max(range(len(sizes)), key=lambda p: (room[p] > 0, wanted[p, rarest], room[p]))
            part[row] = best
            room[best] -= 1
            wanted[best] -= weights[row]
    part[part < 0] = np.repeat(np.arange(len(sizes)), room)  # no class at all
    return part


def distribute_groups(groups: Sequence[str], weights: ClassWeights, shares: Float[np.ndarray, " p"], seed: int) -> dict[str, int]:
    """Return the part of each group, the largest first, each into the part that keeps sizes and classes nearest to the shares.

    Nearest is the smallest sum of squared loads over the shares, where a load is the part's share of all places and of each class.
    """
    names = sorted(set(groups))
    row = {name: number for number, name in enumerate(names)}
    member = np.array([row[group] for group in groups], np.int64)
    totals = np.zeros((len(names), 1 + weights.shape[1]))
    np.add.at(totals, member, np.column_stack([np.ones(len(groups)), weights]))
    mass = totals / np.maximum(totals.sum(0), 1e-300)
    mass[:, 1:] /= max(weights.shape[1], 1)  # all classes together weigh as much as the size
    chance = [randomness.key(seed, f"split/group/{name}") for name in names]
    load = np.zeros((len(shares), mass.shape[1]))
    result: dict[str, int] = {}
    for number in sorted(range(len(names)), key=lambda i: (-round(float(mass[i] @ mass[i]), 12), chance[i])):
        empty = (load[:, 0] == 0) & (len(names) - len(result) <= (load[:, 0] == 0).sum())  # every part gets a group
        cost = (2 * load @ mass[number] + mass[number] @ mass[number]) / shares
        best = int(np.argmin(np.where(empty, -1.0, cost)))
        load[best] += mass[number]
        result[names[number]] = best
    return result


def _cover(present: Bool[np.ndarray, "n k"], sizes: Int[np.ndarray, " p"]) -> Int[np.ndarray, " n"]:
    """Return the part of the rows that bring a class which is not there yet, part by part within its size; -1 for other rows."""
    part = np.full(len(present), -1)
    rows = present.sum(0)
    missing = rows > 0
    for number, size in enumerate(sizes):
        for _ in range(size):
            if not missing.any():
                return part
            rarest = int(np.argmin(np.where(missing, rows, len(present) + 1)))
            gain = (present[:, missing].sum(1) + 1) * (present[:, rarest] & (part < 0))
            part[best := int(np.argmax(gain))] = number
            missing = missing & ~present[best]
    return part


def _seeded_order(ids: Sequence[str], seed: int, stream: str) -> Int[np.ndarray, " n"]:
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if list(ids).count(name) > 1)
        raise InputError(f"split: two places are called {twice!r}. Try: an id of its own for every place.")
    return np.array(sorted(range(len(ids)), key=lambda i: (randomness.key(seed, f"{stream}/{ids[i]}"), ids[i])), np.int64)


def _in_place(order: Int[np.ndarray, " n"], values: list[int]) -> list[int]:
    """Return the values of the ordered places in the order of the places."""
    result = [0] * len(values)
    for index, value in zip(order.tolist(), values, strict=True):
        result[index] = value
    return result
