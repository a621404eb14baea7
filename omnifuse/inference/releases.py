"""Released models by name, and where a name, a path or a hub id leads."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from omnifuse.errors import CheckpointError
from omnifuse.inference.folder import CONFIG, WEIGHTS, ModelFolder, read_folder

_log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parents[1]
ROOTS = (_PACKAGE / "checkpoints", _PACKAGE.parent / "checkpoints")  # installed, or a checkout
_HUB = re.compile(r"([\w.-]+/[\w.-]+)@([\w./-]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Release:
    """Weights that can be asked for by name.

    Attributes:
        where: Folder under `checkpoints/`, or `org/name@commit` on the Hugging Face hub.
        sha256: Of `model.safetensors`; other weights under this name are refused.
        license: SPDX identifier of the weights' licence.
        architecture: A name of `omnifuse.models.architectures.ARCHITECTURES`; empty if it is none of these.
    """

    where: str
    sha256: str
    license: str
    architecture: str = ""


# One row per model in `checkpoints/`, as `omnifuse release` prints it.
RELEASES: Mapping[str, Release] = MappingProxyType(
    {
        "tiny-landscape": Release(
            where="tiny-landscape",
            sha256="b6a7e89fd824c2063e0092232d52451423646147a2e49aa2fa841de99a336710",
            license="Apache-2.0",
            architecture="tiny",
        ),
        "tiny-landscape-pretrained": Release(
            where="tiny-landscape-pretrained",
            sha256="595749cef83bbbbd7bf115b39e872ff473b77a29e57665bdec7f127e7c9d21e9",
            license="Apache-2.0",
            architecture="tiny",
        ),
    }
)


def read_named(name: str) -> tuple[Path, ModelFolder]:
    """Return the folder and the configuration of a path, a name of `RELEASES` or a hub id.

    Raises:
        CheckpointError: for an unknown name, and for a folder whose weights are not those that were released under its name.
    """
    folder = find(name)
    content = read_folder(folder)
    release = RELEASES.get(name)
    if release is not None and not _is_folder(Path(name)) and content.weights.sha256 != release.sha256:
        raise CheckpointError(
            f"{folder}: holds weights {content.weights.sha256[:12]}…, {name} was released with {release.sha256[:12]}…. "
            "Try: restore the folder (`git checkout`, or install omnifuse again), or load it by its path."
        )
    return folder, content


def find(name: str) -> Path:
    """Return the model folder of a path, a name of `RELEASES` or a hub id; nothing in it is read."""
    if _is_folder(Path(name)):
        return Path(name)
    release = RELEASES.get(name)
    where = name if release is None else release.where
    if release is not None:
        for root in ROOTS:
            if _is_folder(root / where):
                return root / where
    if match := _HUB.fullmatch(where):
        return _from_hub(match[1], match[2])
    if release is not None:
        raise CheckpointError(f"{name}: its folder is not installed here. Try: a checkout of the repository.")
    shown = name if len(name) <= 200 else f"{name[:200]}…"
    near = get_close_matches(shown, RELEASES, 1)
    known = ", ".join(RELEASES) or "none"
    remedy = f"`{near[0]}`" if near else "the path of a model folder, or org/name@commit, so that hub weights cannot change under you"
    raise CheckpointError(f"{shown!r}: no such folder, and no such name among the released models ({known}). Try: {remedy}.")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, or under a folder that is closed to us
        return False


def _from_hub(name: str, revision: str) -> Path:
    """Return the folder of the hub's cache; what lies there already is used without a network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    where = f"{name}@{revision}"
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except GatedRepoError:
        raise CheckpointError(f"{where}: asks for its terms to be accepted. Try: do so on the hub, then `hf auth login`.") from None
    except RevisionNotFoundError:
        raise CheckpointError(f"{where}: the hub has {name}, but not this revision. Try: a commit of its history.") from None
    except RepositoryNotFoundError:
        raise CheckpointError(f"{where}: the hub has no such model, or it is private. Try: check the name, or `hf auth login`.") from None
    except LocalEntryNotFoundError:
        raise CheckpointError(f"{where}: no network, and not in the hub's cache here. Try: load it once with a network.") from None
    except Exception as error:  # network and HTTP errors have no common base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{where}: cannot be had from the hub ({first[:200]}). Try: download it as a folder.") from None
    if not _COMMIT.fullmatch(revision):
        pinned = folder.name if _COMMIT.fullmatch(folder.name) else "its commit"
        _log.warning("%s: a branch, tag or short hash may come to mean other weights. Try: %s@%s.", where, name, pinned)
    return folder
