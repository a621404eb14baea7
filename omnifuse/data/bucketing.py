"""Even shares of work: which places of a step go into which micro-batch and to which process.

Places have different numbers of images, and in a step all processes wait for the one with most. What a step trains on stays as it
was; only who gets what is chosen.
"""

import numpy as np
from jaxtyping import Int

from omnifuse.data.place import PlaceSource, frames_of


def work_of(source: PlaceSource, places: Int[np.ndarray, " n"], most_dates: int = 0) -> Int[np.ndarray, " n"] | None:
    """Return how much there is to compute at each place: pixels of all images, bands aside, as networks by image cost.

    Args:
        source: Where the places come from.
        places: Which of them.
        most_dates: Images of a sensor and place that are used at most; 0 uses all.

    Returns:
        None where the source does not know how many images there are (`omnifuse.data.place.Counted`).
    """
    known = frames_of(source)
    if known is None:
        return None
    total = np.zeros(len(places), np.int64)
    for name, count in known.items():
        used = np.minimum(count[places], most_dates) if most_dates else count[places]
        total += used.astype(np.int64) * source.modalities[name].pixels(source.size) ** 2
    return total


def even_parts(work: Int[np.ndarray, " n"], parts: int) -> list[Int[np.ndarray, " m"]]:
    """Return which items make each part: as many in each, and as even in work as a quick rule gets (largest first).

    `n` is a multiple of `parts`. Within a part items keep their order.
    """
    ranking = np.argsort(-work, kind="stable").reshape(-1, parts)  # rounds: each part gets one of each
    members: list[list[int]] = [[] for _ in range(parts)]
    load = np.zeros(parts, np.int64)
    for round_ in ranking:
        for part, item in zip(np.argsort(load, kind="stable"), round_, strict=True):  # the largest goes where there is least
            members[part].append(int(item))
            load[part] += work[item]
    return [np.sort(np.array(part)) for part in members]
