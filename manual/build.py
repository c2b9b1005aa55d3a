"""The site: pages collected, links set right, zensical run over them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from portraitist.errors import StorageError, UsageError

from . import commands, gallery, recipes, reference

ROOT = Path(__file__).resolve().parents[1]
TITLE = "Portraitist"
HOME = "index.md"
NAV: Mapping[str, object] = {
    "Start": [
        HOME,
        "install.md",
        "tutorial/first-portrait.md",
        "tutorial/own-style.md",
        "tutorial/own-checkpoint.md",
        "gallery.md",
    ],
    "Photos": [
        "usage.md",
        "detail.md",
        "video.md",
        "animate.md",
        "serve.md",
        "cluster.md",
        "inversion.md",
        "editing.md",
        "surgery.md",
    ],
    "Styles": [
        "exemplars.md",
        "recipes.md",
        "painters.md",
        "export.md",
        "page.md",
        "groups.md",
        "larger.md",
        "evaluation.md",
        "models.md",
    ],
    "Recipes": recipes.PAGES,
    "Reference": ["commands.md", *reference.PAGES, "glossary.md", "how-it-works.md"],
    "Help": ["faq.md", "contributing.md", "changelog.md"],
}
"""Sections of the site and their pages; pages of docs/results are in "Results"."""
TOP_LEVEL = {"README.md": HOME, "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository -> pages of the site."""
LINK = re.compile(r"(\]\()([^)\s#]+)([^)]*\))")
ROLE = re.compile(r":(?:func|class|data|mod|meth|attr|obj):(?=<code>|`)")
"""What docstrings write before a name, and Markdown does not know."""


def build(out: Path, people: int) -> Path:
    """Write the site into a folder, in place of what was there; return its first page.

    Args:
        out: Folder of the site. The pages that it is built from are written beside it.
        people: People in the gallery of each style.

    Raises:
        UsageError: The folder holds something else, or the program that builds sites is not installed.
        StorageError: The folder cannot be written.
    """
    if out.exists() and not (out / HOME).with_suffix(".html").is_file() and any(out.iterdir()):
        raise UsageError(f"{out} holds something else than a site.", "Name a new folder.")
    source = out.with_name(f"{out.name}-pages")
    try:
        for folder in (source, out):
            shutil.rmtree(folder, ignore_errors=True)
        write_pages(source / "docs", people)
        (source / "zensical.toml").write_text(_settings(source), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{source} cannot be written: {error.strerror}.", "Name another folder.") from error
    _run(source)
    shutil.move(source / "site", out)
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(ROLE.sub("", text), encoding="utf-8")
    return (out / HOME).with_suffix(".html")


def write_pages(folder: Path, people: int) -> None:
    """Write all pages and pictures of the site as Markdown and files, with links between them that hold."""
    for file in (ROOT / "docs").rglob("*"):
        if file.is_file():
            _write(folder, file, file.relative_to(ROOT / "docs").as_posix())
    for name, page in TOP_LEVEL.items():
        _write(folder, ROOT / name, page)
    for made in (recipes.pages(), commands.pages(), reference.pages(), gallery.pages(folder, people)):
        for page, text in made.items():
            (folder / page).parent.mkdir(parents=True, exist_ok=True)
            (folder / page).write_text(text, encoding="utf-8")


def _write(folder: Path, file: Path, page: str) -> None:
    """Copy a file of the repository to a place in the site; in Markdown, links are made to fit."""
    target = folder / page
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix != ".md":
        shutil.copyfile(file, target)
        return

    def moved(found: re.Match[str]) -> str:
        link = found[2]
        if "://" in link or link.startswith("mailto:"):
            return found[0]
        aim = Path(os.path.normpath(file.parent / link))
        if not aim.is_file():
            raise UsageError(f"{file.relative_to(ROOT)} links {link}, which is no file.", "Mend the link.")
        place = _place(aim.relative_to(ROOT), folder)
        return f"{found[1]}{_relative(place, page)}{found[3]}"

    target.write_text(LINK.sub(moved, file.read_text(encoding="utf-8")), encoding="utf-8")


def _place(path: Path, folder: Path) -> str:
    """Return where a file of the repository is in the site; one that is no page is copied there."""
    name = path.as_posix()
    if name in TOP_LEVEL:
        return TOP_LEVEL[name]
    if path.parts[0] == "docs":
        return path.relative_to("docs").as_posix()
    copy = PurePosixPath("files") / name
    (folder / copy).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / path, folder / copy)
    return copy.as_posix()


def _relative(place: str, page: str) -> str:
    return PurePosixPath(os.path.relpath(place, PurePosixPath(page).parent)).as_posix()


def _settings(source: Path) -> str:
    """Return what zensical is told; TOML takes the strings and lists of JSON."""
    results = sorted(p.relative_to(source / "docs").as_posix() for p in (source / "docs" / "results").glob("*.md"))
    sections: dict[str, object] = {**NAV, "Results": results}
    nav = ", ".join(f"{{{json.dumps(name)} = {json.dumps(pages)}}}" for name, pages in sections.items())
    options: dict[str, object] = {
        "docstring_style": "google",
        "heading_level": 2,
        "separate_signature": True,
        "show_root_heading": True,
        "show_root_full_path": False,
        "show_signature_annotations": True,
        "show_source": False,
    }
    return "\n".join(
        [
            "[project]",
            f"site_name = {json.dumps(TITLE)}",
            'docs_dir = "docs"',
            'site_dir = "site"',
            "use_directory_urls = false",
            f"nav = [{nav}]",
            "[project.theme]",
            "font = false",
            'features = ["navigation.indexes", "navigation.top", "content.code.copy", "toc.follow"]',
            *_palette("default", "(prefers-color-scheme: light)"),
            *_palette("slate", "(prefers-color-scheme: dark)"),
            "[project.extra]",
            "generator = false",
            "[project.markdown_extensions.toc]",
            "permalink = true",
            "[project.markdown_extensions.attr_list]",
            "[project.markdown_extensions.pymdownx.superfences]",
            "[project.markdown_extensions.pymdownx.highlight]",
            "[project.plugins.mkdocstrings.handlers.python]",
            f"paths = [{json.dumps(str(ROOT / 'src'))}]",
            "[project.plugins.mkdocstrings.handlers.python.options]",
            *(f"{key} = {json.dumps(value)}" for key, value in options.items()),
            "",
        ]
    )


def _palette(scheme: str, media: str) -> Sequence[str]:
    return "[[project.theme.palette]]", f"scheme = {json.dumps(scheme)}", f"media = {json.dumps(media)}"


def _run(source: Path) -> None:
    program = Path(sys.executable).with_name("zensical")
    found = str(program) if program.is_file() else shutil.which("zensical")
    if found is None:
        raise UsageError("The program zensical, which builds the site, is not installed.", "pip install -e '.[docs]'")
    done = subprocess.run([found, "build", "--strict"], cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"zensical failed: {(done.stdout + done.stderr).strip()}", "Mend the pages that it names.")
