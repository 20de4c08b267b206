"""
Write .ci/requirements.txt: every version of constraints.txt with the SHA-256 of its file.

`make lock`, on the system that continuous integration runs on (Linux, x86-64, Python 3.11): the
hashes are those of the files that pip chooses there, as the package index states them.

torch is left out. Its wheels are other files for each kind of processor and index (CPU, CUDA), so
no one hash is right; it is installed by version.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CONSTRAINTS, LOCK = HERE.parent / "constraints.txt", HERE / "requirements.txt"
BY_VERSION = {"torch"}
HEADER = """\
# Made by `make lock` from constraints.txt, for Linux, x86-64, Python 3.11; see .ci/lock.py.
# pip install --no-deps --require-hashes -r .ci/requirements.txt
"""


def pins(path: Path = CONSTRAINTS) -> dict[str, str]:
    """Name -> version of a requirements file; names as they are written there."""
    lines = (line.split("#")[0].split("--hash")[0] for line in path.read_text().splitlines())
    return dict(line.strip(" \\").split("==") for line in lines if "==" in line)


def hashes(wanted: dict[str, str]) -> dict[str, str]:
    """Normalised name -> SHA-256 of the file that pip would install; installs nothing."""
    with tempfile.TemporaryDirectory() as folder:
        report, asked = Path(folder, "report.json"), Path(folder, "asked.txt")
        asked.write_text("\n".join(f"{name}=={version}" for name, version in wanted.items()))
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        more = ["--no-deps", "--quiet", "--report", report, "-r", asked]
        subprocess.run([*pip, *more], check=True)
        found = json.loads(report.read_text())["install"]
    files = {normalised(one["metadata"]["name"]): one["download_info"] for one in found}
    return {name: file["archive_info"]["hashes"]["sha256"] for name, file in files.items()}


def normalised(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    wanted = {name: version for name, version in pins().items() if name not in BY_VERSION}
    found = hashes(wanted)
    lines = [
        f"{name}=={version} --hash=sha256:{found[normalised(name)]}\n"
        for name, version in wanted.items()
    ]
    LOCK.write_text(HEADER + "".join(lines))
