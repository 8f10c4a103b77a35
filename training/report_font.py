"""Cuts the report's Korean font out of Noto Sans CJK: Latin, Greek, every Hangul syllable, the signs a report uses.

    pip install fonttools
    python training/report_font.py /usr/share/fonts/opentype/noto     # where NotoSansCJK-{Regular,Bold}.ttc are

1.2 MB a weight; with the Chinese and Japanese it was 20 MB for both.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection

KOREAN = 1  # its place in the collection
SIGNS = "\u2060→⇒−≈≤≥₩€←●◆✓✗、。「」×‰"
RANGES = ((0x20, 0x7F), (0xA0, 0x180), (0x370, 0x400), (0x2010, 0x2040), (0x3131, 0x318F), (0xAC00, 0xD7A4))
TARGET = Path(__file__).parent.parent / "src/inhouse/report/fonts"


def cut(collection: Path, target: Path) -> None:
    """Writes the Korean face of the collection, reduced to these letters and without hinting."""
    font = TTCollection(str(collection)).fonts[KOREAN]
    options = subset.Options()
    options.layout_features = ["kern"]  # a substituted glyph cannot be read back from a PDF
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.hinting = False
    options.drop_tables += ["BASE", "VORG", "vhea", "vmtx"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[*map(ord, SIGNS), *(code for low, high in RANGES for code in range(low, high))])
    subsetter.subset(font)
    font.save(target)


if __name__ == "__main__":
    for weight in ("Regular", "Bold"):
        cut(Path(sys.argv[1]) / f"NotoSansCJK-{weight}.ttc", TARGET / f"NotoSansKR-{weight}.otf")
