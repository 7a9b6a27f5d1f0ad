"""The command line in a process that shards on the CPU, which the libraries do on GPUs alone.

Left to themselves accelerate, DeepSpeed and FSDP2 run whole copies on a CPU and say nothing; here the backend is
gloo and the kind of run that of a GPU machine, so that everything after it is the real thing.
"""

import os
import sys

os.environ |= {"ACCELERATE_TORCH_DEVICE": "cpu", "DS_ACCELERATOR": "cpu"}

from accelerate import PartialState
from accelerate.utils import DistributedType

from countdown_r1.cli import main

PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)  # pyright: ignore
if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
