"""FLAIR's protocols on labels that were read with all 19 classes: one store serves them all (arXiv:2211.12979, arXiv:2310.13336)."""

from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS
from omnifuse.data.target_rules import MergeConfig
from omnifuse.errors import ConfigError


def flair_merge(protocol: str) -> MergeConfig:
    """Return what makes labels of `flair19` those of another protocol of FLAIR, as its reader would give them.

    Raises:
        ConfigError: for an unknown protocol.
    """
    if protocol not in FLAIR_PROTOCOLS:
        raise ConfigError(f"FLAIR: unknown protocol {protocol!r}. Try: one of {', '.join(FLAIR_PROTOCOLS)}.")
    stored = FLAIR_PROTOCOLS["flair19"]
    wanted = FLAIR_PROTOCOLS[protocol]
    groups = {
        name: tuple(stored.classes.names[stored.ids[value]] for value, found in enumerate(wanted.ids) if found == number)
        for number, name in enumerate(wanted.classes.names)
    }
    return MergeConfig(groups=groups)
