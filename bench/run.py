"""``make bench``: each measurement in a process of its own."""

import subprocess
import sys
from pathlib import Path

BENCHES = ("transmitter.py",)

if __name__ == "__main__":
    for bench in BENCHES:
        print(f"== {bench}", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(bench)], check=True)
