"""Fine-tune on one or many processes.

    accelerate launch finetune/run.py finetune/recipes/landscape.py [--train.steps 500 ...]
    torchrun --nproc-per-node 8 finetune/run.py finetune/recipes/landscape.py

`omnifuse finetune RECIPE` runs the same function in one process.
"""

import sys

from omnifuse.cli import main

if __name__ == "__main__":
    sys.exit(main(["finetune", *sys.argv[1:]]))
