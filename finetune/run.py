"""Fine-tune on one or many processes.

    accelerate launch finetune/run.py finetune/recipes/landscape.py [--train.steps 500 ...]
    torchrun --nproc-per-node 8 finetune/run.py finetune/recipes/landscape.py

`omnifuse finetune RECIPE` runs the same function in one process.
"""

import sys

from omnifuse.cli import main
from omnifuse.train.ranks import leave

if __name__ == "__main__":
    code = main(["finetune", *sys.argv[1:]])
    if code == 0:  # after an error others may still be waiting; the launcher ends them
        leave()
    sys.exit(code)
