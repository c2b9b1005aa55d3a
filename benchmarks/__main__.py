"""Measure every subject, print a table and write it to ``docs/results/bench.md`` and ``bench.json``."""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from portraitist.ops import keep_heap

from . import generation, inversion, training
from .measure import Peak, Result, measure, peak

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small subjects, one round each; writes nothing")
    parser.add_argument("--only", default="", metavar="TEXT", help="subjects whose name contains TEXT; writes nothing")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="least time for each subject (default: %(default)s)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    heap = keep_heap()
    machine = peak()
    setting = describe(machine, heap)
    print(setting + "\n\n" + HEAD, flush=True)
    results = []
    for subject in [*generation.subjects(), *training.subjects(), *inversion.subjects()]:
        if arguments.only not in subject.name or (arguments.quick and not subject.quick):
            continue
        short = arguments.quick
        results.append(measure(subject, machine, seconds=0 if short else arguments.seconds, least=1 if short else 3))
        print(row(results[-1]), flush=True)
    if not (arguments.quick or arguments.only):
        write(setting, machine, results)


HEAD = (
    "| work | GFLOP | ms | times the reference (least to most) | of sgemm peak | goal | of convolution rate |\n"
    "|---|---|---|---|---|---|---|"
)


def row(r: Result) -> str:
    spread = f"{r.ratio:.2f} ({r.ratio_low:.2f} to {r.ratio_high:.2f}, {r.rounds} rounds)"
    reached = f"{r.of_sgemm:.2f}" if r.of_sgemm < r.goal else f"**{r.of_sgemm:.2f}**"
    work = f"| {r.name} | {r.gflop:.1f} | {r.milliseconds:.1f} |"
    return f"{work} {spread} | {reached} | {r.goal} | {r.of_convolution:.2f} |"


def describe(machine: Peak, heap: bool) -> str:
    return (
        f"One thread, CPU time, medians, ours and the reference in turn. {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}; large blocks "
        f"{'kept in the heap' if heap else 'mapped one by one'} for both. Matrix product {machine.sgemm:.0f} GFLOP/s, "
        f"large 3x3 convolution {machine.convolution:.0f} GFLOP/s. "
        "Work is counted as direct convolution, filters left out."
    )


def write(setting: str, machine: Peak, results: list[Result]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    table = "\n".join([HEAD, *map(row, results)])
    reading = (
        "The reference runs the same networks on the `_reference` functions of `portraitist.ops`: one kernel per "
        "sample in grouped convolutions, dense filters, the steps in the order of the formulas. Bold: the goal is "
        "reached. Where the convolution of the machine is faster than its matrix product (AVX-512), the goal says "
        "little and the last column is the honest one. The training step is the forward and backward passes of both "
        "players; Adam, averaging and augmentation are left out. Written by `make bench`."
    )
    (RESULTS / "bench.md").write_text(f"# Speed\n\n{setting}\n\n{reading}\n\n{table}\n", encoding="utf-8")
    record = {"setting": setting, "peak": asdict(machine), "results": [asdict(r) for r in results]}
    (RESULTS / "bench.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
