"""Break rules of a module one at a time, and see whether a test of it turns red.

A mutant is the module with one thing changed: a comparison turned, a condition negated, a number moved by one, `and`
for `or`, a statement left out. Each runs the module's tests in a fork of a process that has imported everything else.

    python scripts/mutants.py                  # a sample of every module of MODULES, for some ten minutes
    python scripts/mutants.py files --all      # every mutant of one
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    "files": ("portraitist.files", ["tests/test_files.py"]),
    "locks": ("portraitist.locks", ["tests/train/test_run_folder.py"]),
    "folder": ("portraitist.train.folder", ["tests/train/test_run_folder.py"]),
    "snapshot": ("portraitist.train.snapshot", ["tests/train/test_loop.py", "-k", "snapshot or resumes"]),
    "described": ("portraitist.io.described", ["tests/io/test_model_file.py"]),
    "lmdb_pages": ("portraitist.data.lmdb_pages", ["tests/data/test_lmdb.py"]),
}
"""Modules, by the name that chooses one, and what pytest is told to run for it."""
LONGEST = 60
"""Seconds of the processor after which a mutant counts as caught: it hangs."""
TURNED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
TURNED |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is}
TURNED |= {ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add}
Change = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Mutant:
    """One change."""

    line: int
    what: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        for what, change in _changes(node):
            broken = copy.deepcopy(tree)
            found = next(n for k, n in enumerate(ast.walk(broken)) if k == number)
            change(found)
            yield Mutant(getattr(node, "lineno", 0), what, ast.fix_missing_locations(broken))


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        yield "comparison turned", lambda n: n.ops.__setitem__(0, TURNED[type(n.ops[0])]())  # type: ignore[attr-defined]
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in TURNED:
        yield "operator turned", lambda n: setattr(n, "op", TURNED[type(n.op)]())  # type: ignore[attr-defined]
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition negated", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))  # type: ignore[attr-defined]
    elif isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        yield "number moved", lambda n: setattr(n, "value", not n.value if n.value in (True, False) else n.value + 1)  # type: ignore[attr-defined]
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "nothing returned", lambda n: setattr(n, "value", ast.Constant(None))
    if isinstance(node, ast.FunctionDef | ast.If | ast.For | ast.With | ast.Try):
        for k, inner in enumerate(node.body):
            if isinstance(inner, ast.Raise | ast.Assign | ast.AugAssign) or (
                isinstance(inner, ast.Expr) and not isinstance(inner.value, ast.Constant)
            ):
                yield f"line {inner.lineno} left out", lambda n, k=k: n.body.__setitem__(k, ast.Pass())  # type: ignore[attr-defined,misc]


def survives(name: str, path: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Tell whether the tests of a module stay green with another tree in its place."""
    if (pid := os.fork()) == 0:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            signal.setitimer(signal.ITIMER_PROF, LONGEST)
            _replace(name, path, tree)
            os._exit(_pytest(tests))
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _replace(name: str, path: Path, tree: ast.Module) -> None:
    """Run a tree in the place of a module, and give what it defines to all who have imported the old."""
    module = sys.modules[name]
    before = dict(vars(module))
    exec(compile(tree, str(path), "exec"), vars(module))
    for other in [m for key, m in sys.modules.items() if key.startswith("portraitist")]:
        for key, value in list(vars(other).items()):
            if key in before and value is before[key] and value is not vars(module)[key]:
                setattr(other, key, vars(module)[key])


def _pytest(tests: list[str]) -> int:
    import pytest

    quick = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not recipe"]
    return int(pytest.main([*quick, "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]))


def main() -> int:
    """Try a sample of mutants of each module, and list those that no test catches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(MODULES), choices=[*MODULES, []])
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    _warm()
    for key in chosen.modules:
        name, tests = MODULES[key]
        path = ROOT / "src" / Path(*name.split(".")).with_suffix(".py")
        source = path.read_text(encoding="utf-8")
        importlib.import_module(name)
        if not survives(name, path, ast.parse(source), tests):
            print(f"{key}: its tests fail as it is")
            continue
        every = list(mutants(source))
        some = every if chosen.all else random.Random(chosen.seed).sample(every, min(chosen.count, len(every)))
        left = [m for m in some if survives(name, path, m.tree, tests)]
        print(f"{key}: {len(some) - len(left)} of {len(some)} caught ({len(every)} in all)", flush=True)
        for mutant in sorted(left, key=lambda m: m.line):
            print(f"  survives: line {mutant.line}: {mutant.what}", flush=True)
    return 0


def _warm() -> None:
    """Import what tests need, so that each fork has it."""
    for name in ("pytest", "lmdb", "safetensors.torch", "portraitist.api", "tests.conftest"):
        importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
