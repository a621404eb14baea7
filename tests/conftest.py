"""Every public signature's shapes and types are checked on every call of the test run."""

from jaxtyping import install_import_hook

hook = install_import_hook("omnifuse", "beartype.beartype")

import torch  # noqa: E402  (after the hook)

torch.set_num_threads(1)
