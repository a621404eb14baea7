"""What can go wrong for a user: one family, one argument (so that it survives a worker process), one exit code each."""


class OmnifuseError(ValueError):
    """Says where (file, field), what was found, what was expected, and the remedy after ``Try:``."""

    exit_code = 1


class InputError(OmnifuseError):
    """Data that is not what its modality, store or model says it must be."""

    exit_code = 3


class ConfigError(OmnifuseError):
    """A recipe, flag or saved configuration that cannot be honoured."""

    exit_code = 4


class CheckpointError(OmnifuseError):
    """A checkpoint or model folder that is missing, damaged or of another format."""

    exit_code = 5


class NonFiniteError(OmnifuseError):
    """A loss or a gradient that is not finite; raised before any parameter was changed."""

    exit_code = 7


class StoppedError(OmnifuseError):
    """A run that a signal ended early, with its checkpoint written: the same command goes on from there."""

    exit_code = 75
