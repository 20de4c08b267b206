"""
Take over the models of a demo run as those that ship: `make zoo`.

usage: python zoo/sketch/make.py FOLDER, the --out of bench/demo.py
"""

import sys
from pathlib import Path

from p2bot_parlai.zoo.sketch import HERE, pack

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    # the supervised model: self-play did not better it (docs/log.md)
    for name, trained in {"model": "P2Bot-S", "receiver": "Receiver"}.items():
        pack(folder / trained, HERE / f"{name}.safetensors")
        size = (HERE / f"{name}.safetensors").stat().st_size
        print(f"wrote {name}.safetensors, {size / 1e6:.1f} MB")
