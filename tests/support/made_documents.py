"""Documents made for tests: small PDFs by hand, packages with any parts, and a tokenizer's measure."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

Text = tuple[float, float, float, str]
"""x, y, size, text."""


def make_pdf(pages: Sequence[Sequence[Text]], *, encrypted: bool = False) -> bytes:
    """A PDF with text in Helvetica at given places."""
    bodies = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for texts in pages:
        stream = "\n".join(
            f"BT /F1 {size} Tf {x} {y} Td ({text.replace('(', '').replace(')', '')}) Tj ET"
            for x, y, size, text in texts
        )
        number = len(bodies) + 1
        kids.append(f"{number} 0 R")
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        bodies.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    bodies[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    extra = ""
    if encrypted:
        bodies.append(f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >>")
        extra = f"/Encrypt {len(bodies)} 0 R /ID [<{'00' * 16}> <{'00' * 16}>]"
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}".encode()
    out += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R {extra} >>\nstartxref\n{start}\n%%EOF".encode()
    return bytes(out)


def make_zip(parts: Mapping[str, bytes]) -> bytes:
    """A zip with these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in parts.items():
            package.writestr(name, data)
    return buffer.getvalue()


RELATIONS = b"""<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship
Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
Target="word/document.xml"/></Relationships>"""


def make_docx(document: bytes, **others: bytes) -> bytes:
    """A Word package with this main part, and others by name."""
    return make_zip({"_rels/.rels": RELATIONS, "word/document.xml": document, **others})


def written(folder: Path, name: str, data: bytes) -> Path:
    """A file in a folder."""
    path = folder / name
    path.write_bytes(data)
    return path
