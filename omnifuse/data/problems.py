"""One thing that is wrong with data on disk, said so that a person can act on it.

A reader that meets broken data in a training run raises :class:`~omnifuse.errors.InputError`; a check of a whole data set wants the
same facts without stopping at the first. Both say which file, what was found and what to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the ``file`` it is in, ``what`` was found and the ``remedy``.

    ``place`` is the id of the place that it concerns; empty where it concerns the whole data set.
    """

    file: str
    what: str
    remedy: str
    place: str = ""
