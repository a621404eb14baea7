"""omnifuse: one model for any subset of Earth-observation sensors."""

from typing import TYPE_CHECKING, Any

from omnifuse.modalities import MODALITIES, Modality

if TYPE_CHECKING:
    from omnifuse.zoo import load

__version__ = "0.1.0"
__all__ = ["MODALITIES", "Modality", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # torch is imported when a model is asked for, not by `import omnifuse`
        from omnifuse.zoo import load

        return load
    raise AttributeError(f"module 'omnifuse' has no attribute {name!r}")
