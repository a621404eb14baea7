"""The encoders of a model folder, to start another training from."""

import logging
from dataclasses import dataclass, fields
from pathlib import Path

from omnifuse.errors import CheckpointError, InputError
from omnifuse.inference.building import restore
from omnifuse.inference.folder import without_paths
from omnifuse.inference.releases import read_named
from omnifuse.modalities import Modality
from omnifuse.models.model import Encoders
from omnifuse.models.reference_model import ReferenceModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """Pretrained encoders to start a training from.

    Attributes:
        encoders: With their weights.
        where: Their folder, for messages.
    """

    encoders: Encoders
    where: str

    def modality(self, name: str, stored: Modality) -> Modality:
        """Return the modality as it was pretrained (its statistics), if what is `stored` now is the same product.

        A sensor that was not pretrained is returned as stored, and the log says so.
        """
        known = self.encoders.config.modalities
        if name not in known:
            _log.warning("%s: %r was not pretrained (only %s); its encoder starts from random weights.", self.where, name, ", ".join(known))
            return stored
        for key in ("bands", "units", "gsd", "series", "per_place", "context"):
            now, then = getattr(stored, key), getattr(known[name], key)
            if now != then:
                raise InputError(
                    f"{self.where}: {name!r} was pretrained with {key} {then}, the data have {now}. Try: store the data as pretrained."
                )
        return known[name]

    def load_into(self, encoders: Encoders) -> None:
        """Copy the weights of every sensor that both have.

        Raises:
            CheckpointError: where no sensor is shared, or an encoder is configured otherwise; nothing was copied.
        """
        own, new = (without_paths(e.config).encoders for e in (self.encoders, encoders))
        shared = [name for name in new if name in own]
        if not shared:
            raise CheckpointError(f"{self.where}: has {', '.join(own)}, none of {', '.join(new)}. Try: other pretrained weights.")
        for name in shared:
            if own[name] != new[name]:
                raise CheckpointError(
                    f"{self.where}: encoder of {name!r} was pretrained as {_difference(own[name], new[name])}. Try: the same encoder."
                )
        for name in shared:
            encoders.by_name[name].load_state_dict(self.encoders.by_name[name].state_dict())


def load_pretrained(folder_or_name: str | Path) -> Pretrained:
    """Read the encoders of a model, pretrained or fine-tuned, to start another training from; its names are those of `load`."""
    folder, content = read_named(str(folder_or_name))
    model = restore(folder, content)
    if isinstance(model, ReferenceModel):
        raise CheckpointError(
            f"{folder}: a published U-TAE, whose layers are not those of our encoders. Try: weights trained with omnifuse."
        )
    return Pretrained(model.encoders, str(folder))


def _difference(own: object, new: object) -> str:
    if type(own) is not type(new):
        return f"{type(own).__name__}, not {type(new).__name__}"
    names = [field.name for field in fields(own) if getattr(own, field.name) != getattr(new, field.name)]  # type: ignore[arg-type]
    return ", ".join(f"{name} {getattr(own, name)}, not {getattr(new, name)}" for name in names)
