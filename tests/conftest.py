"""Every public signature's shapes and types are checked on every call of the test run."""

from jaxtyping import install_import_hook

# As for mypy, an int will do where a float is asked for.
hook = install_import_hook("omnifuse", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import torch  # noqa: E402  (after the hook)

torch.set_num_threads(1)
