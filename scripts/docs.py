"""Build the documentation site: `make docs`, or `python scripts/docs.py [FOLDER]`.

Pages are staged in FOLDER (build/docs): those of docs/, the README files of models/, haystacks/ and results/,
CONTRIBUTING.md, CHANGELOG.md and the notebooks. Links between files of the repository become links between pages, a
linked file that is no page is copied. Then Zensical builds the site in FOLDER/site; a broken link, anchor or reference
ends the build.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
FIXED = {
    "README.md": "index.md",  # the site's first page says the same
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LARGEST_FILE = 2**20  # bytes of a linked file that is copied
_FENCE = re.compile(r"^(?P<fence>```|~~~)", re.MULTILINE)
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def pages() -> dict[str, str]:
    """Return the pages of the site that are files of the repository: path in the repository, path in the site."""
    found = dict(FIXED)
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").as_posix()
        found[f"docs/{name}"] = name
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        found[f"docs/notebooks/{path.name}"] = f"notebooks/{path.stem}.md"
    for folder in ("models", "haystacks", "results"):
        for path in sorted((ROOT / folder).rglob("*.md")):
            name = path.relative_to(ROOT).as_posix()
            found[name] = name.replace("README.md", "index.md")
    return found


class Site:
    """The staged pages, and the files that they link to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pages"
        self.pages = pages()
        self.folders: set[str] = set()  # linked folders without a page of their own

    def stage(self) -> None:
        """Write every page."""
        for source, target in self.pages.items():
            if source != "README.md":
                self._write(target, self._page(source))
        for folder in sorted(self.folders):
            self._write(f"{folder}/index.md", self._listing(folder))
        shutil.copy(ROOT / "docs" / "extra.css", self.folder)

    def _page(self, source: str) -> str:
        path = ROOT / source
        text = path.read_text("utf-8")
        if path.suffix == ".ipynb":
            text = notebook_text(json.loads(text))
        parts = _FENCE.split(text)  # text, fence, code, fence, text ..
        kept = [
            part if number % 4 else self._relinked(part, source, self.pages[source])
            for number, part in enumerate(parts)
        ]
        return "".join(kept)

    def _relinked(self, text: str, source: str, target: str) -> str:
        def replace(match: re.Match[str]) -> str:
            link = match["target"]
            if "://" in link or link.startswith(("mailto:", "data:")):
                return match[0]
            resolved = os.path.normpath(PurePosixPath(source).parent / link)
            new = os.path.relpath(self._target(resolved, source), PurePosixPath(target).parent)
            return f"{match['before']}{new}{match['anchor'] or ''}"

        return _LINK.sub(replace, text)

    def _target(self, resolved: str, source: str) -> str:
        """Return the path in the site of a file of the repository, which is copied if it is no page."""
        for name in (resolved, f"{resolved}/README.md"):
            if name in self.pages:
                return self.pages[name]
        path = ROOT / resolved
        if path.is_dir():
            self.folders.add(resolved)
            return f"{resolved}/index.md"
        if not path.is_file():
            raise SystemExit(f"{source}: links to {resolved}, which does not exist")
        self._copy(path, resolved)
        return resolved

    def _copy(self, path: Path, name: str) -> None:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)

    def _listing(self, folder: str) -> str:
        """Return a page of the files of a folder that has no README."""
        lines = [f"# {folder}", ""]
        for path in sorted((ROOT / folder).iterdir()):
            name = f"{folder}/{path.name}"
            if name in self.pages:
                lines.append(f"- [{path.name}]({PurePosixPath(self.pages[name]).name})")
            elif path.is_file() and path.stat().st_size <= LARGEST_FILE:
                self._copy(path, name)
                lines.append(f"- [{path.name}]({path.name})")
            else:
                lines.append(f"- {path.name}")
        return "\n".join([*lines, ""])

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def notebook_text(notebook: Mapping[str, object]) -> str:
    """Return a notebook as Markdown: its texts, its code, and the stored texts and pictures of its outputs."""
    parts = []
    cells = notebook["cells"]
    assert isinstance(cells, list)
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if picture := data.get("image/png"):
                encoded = "".join(picture).replace("\n", "")
                parts.append(f"![figure](data:image/png;base64,{encoded})")
            elif text := output.get("text") or data.get("text/plain"):
                parts.append(f"```text\n{''.join(text).rstrip()}\n```")
    return "\n\n".join([*parts, ""])


def build(folder: Path) -> int:
    """Stage the pages in `folder` and build the site in `folder`/site; return the exit status of the engine."""
    for name in ("pages", "site", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    Site(folder).stage()
    config = (ROOT / "docs" / "zensical.toml").read_text("utf-8")
    config = config.replace('paths = ["../.."]', f"paths = [{json.dumps(str(ROOT))}]")
    (folder / "zensical.toml").write_text(config, "utf-8")
    engine = [sys.executable, "-m", "zensical", "build", "--strict", "-f", "zensical.toml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(engine, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "docs").resolve()))
