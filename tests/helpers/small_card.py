"""A card of a small network of one of this package's families."""

from pathlib import Path


def small_card(folder: Path, adapter: str, config: str, labels: str = "esc-10") -> Path:
    """Write a card named `small` with that [config]; returns its path."""
    path = folder / "small.toml"
    head = f'name = "small"\nadapter = "{adapter}"\nlabels = "{labels}"'
    path.write_text(f"{head}\n[config]\n{config}\n")
    return path
