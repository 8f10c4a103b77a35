"""The core (no extras) installs in under 350 MB: installs it in a fresh virtual environment and adds up the files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

BAR_BYTES = 350_000_000


def main() -> int:
    """Prints the size of the core and its largest packages; 1 if the bar is missed."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        python = Path(folder) / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(root)]
        subprocess.run(pip, check=True)
        sizes: dict[str, int] = {}
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                parts = path.relative_to(folder).parts
                package = parts[4] if len(parts) > 4 else parts[0]
                sizes[package] = sizes.get(package, 0) + path.stat().st_size
    for package, size in sorted(sizes.items(), key=lambda item: -item[1])[:8]:
        print(f"{size / 1e6:8.1f} MB  {package}")
    total = sum(sizes.values())
    print(f"core install {total / 1e6:.0f} MB (bar {BAR_BYTES / 1e6:.0f} MB)")
    return int(total > BAR_BYTES)


if __name__ == "__main__":
    sys.exit(main())
