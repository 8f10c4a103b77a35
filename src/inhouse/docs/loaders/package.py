"""Zips of XML parts (Office, HWPX), checked for bombs and tricks before anything is unpacked. Knows no format."""

from __future__ import annotations

import posixpath
import zipfile
from typing import Any

from lxml import etree

from inhouse.core.errors import UnreadableDocument
from inhouse.core.units import format_bytes
from inhouse.docs.loaders.base import Source

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SAVE_AGAIN = "Open it in its program, save it anew and add it again"
REMOVE_PASSWORD = "Save it without a password and add it again"  # noqa: S105 - a sentence
_BOMB = "The file's XML declares entities"
_BOMB_WHY = "it may be an XML bomb; no Office program writes that"
_RELATIONS = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"


class Package:
    """An opened package. `names` are its parts; a part is read whole, and the parts together are bounded."""

    def __init__(self, source: Source) -> None:
        if source.head() == OLE_MAGIC:  # Office wraps an encrypted package, and its older formats, in OLE
            raise UnreadableDocument("The file is encrypted, or of an older binary format", do=REMOVE_PASSWORD)
        try:
            self._zip = zipfile.ZipFile(source.file)
        except zipfile.BadZipFile as error:
            raise UnreadableDocument("The file is broken", why=str(error), do=SAVE_AGAIN) from None
        infos = self._zip.infolist()
        self._refuse(infos, source)
        self.names = frozenset(info.filename for info in infos)

    @staticmethod
    def _refuse(infos: list[zipfile.ZipInfo], source: Source) -> None:
        limits = source.limits
        if len(infos) > limits.entries:
            raise UnreadableDocument(f"The file holds {len(infos):,} parts", why=f"more than {limits.entries:,}")
        # zipfile never reads past the size that the directory declares, so that the sum bounds all.
        unpacked = sum(info.file_size for info in infos)
        if unpacked > limits.unpacked_bytes:
            raise UnreadableDocument(
                f"The file would unpack to {format_bytes(unpacked)}",
                why=f"more than {format_bytes(limits.unpacked_bytes)}; it may be a zip bomb",
                do="Split the document, or raise the limit if you trust it",
            )
        for info in infos:
            if info.flag_bits & 1:
                raise UnreadableDocument("The file is encrypted", do=REMOVE_PASSWORD)
            if info.filename.startswith(("/", "\\")) or ".." in info.filename.replace("\\", "/").split("/"):
                raise UnreadableDocument(
                    "A part of the file names a path outside it", why="no Office program writes that"
                )

    def read(self, name: str) -> bytes:
        """A part's bytes."""
        try:
            return self._zip.read(name)
        except (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
            raise UnreadableDocument(f"The part {name} is missing or broken", why=str(error), do=SAVE_AGAIN) from None
        except Exception as error:  # zlib.error and lzma's own
            if type(error).__module__ in {"zlib", "_lzma", "lzma"}:
                raise UnreadableDocument(f"The part {name} is broken", why=str(error), do=SAVE_AGAIN) from None
            raise

    def xml(self, name: str) -> Any:
        """A part's root element."""
        return parse_xml(self.read(name))

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part of an Office package refers to: id → (last word of the type, the part's name)."""
        folder, file = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", file + ".rels")
        if rels not in self.names:
            return {}
        found = {}
        for relation in self.xml(rels).iter(_RELATIONS):
            if relation.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/")
                found[relation.get("Id", "")] = (relation.get("Type", "").rpartition("/")[2], target)
        return found

    def main_part(self) -> str:
        """The part that an Office package is about."""
        for kind, target in self.relations("").values():
            if kind == "officeDocument":
                return target
        raise UnreadableDocument("The file is no Office document", why="it names no main part", do=SAVE_AGAIN)

    def core_title(self) -> str:
        """The title among an Office package's properties, or nothing."""
        if "docProps/core.xml" not in self.names:
            return ""
        return (self.xml("docProps/core.xml").findtext("{http://purl.org/dc/elements/1.1/}title") or "").strip()


def parse_xml(data: bytes) -> Any:
    """The root element, with entities, DTDs and the network off; a document that declares entities is refused."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if "amplification" in str(error) or "entity" in str(error).lower():
            raise UnreadableDocument(_BOMB, why=_BOMB_WHY) from None
        raise UnreadableDocument("The file's XML is broken", why=str(error), do=SAVE_AGAIN) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnreadableDocument(_BOMB, why=_BOMB_WHY)
    return root
