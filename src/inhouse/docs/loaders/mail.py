"""E-mail (RFC 5322, .eml): head, body, and the attachments by name. Attachments are not opened."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser

from inhouse.core.errors import UnreadableDocument
from inhouse.core.units import format_bytes
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.encoding import decode
from inhouse.docs.loaders.hypertext import html_blocks
from inhouse.docs.loaders.text import paragraphs
from inhouse.docs.records import Block, Loaded

_HEAD = ("From", "To", "Cc", "Date", "Subject")


def load_mail(source: Source) -> Loaded:
    """One message. Of several forms of the body the plain one is read, the HTML one where there is no other."""
    source.file.seek(0)
    message = BytesParser(policy=policy.default).parse(source.file)
    if not any(name in message for name in (*_HEAD, "Message-ID", "Received")):
        raise UnreadableDocument("The file is no e-mail", why="it has neither sender, recipient nor subject")
    assert isinstance(message, EmailMessage)
    head = [f"{name}: {_header(message, name)}" for name in _HEAD if message[name]]
    blocks = [Block("\n".join(head), "paragraph"), *_body(message)]
    attachments = [_attachment(part) for part in message.iter_attachments()]
    if attachments:
        blocks.append(Block("Attachments:\n" + "\n".join(f"- {name}" for name in attachments), "list"))
    warnings = tuple(f"the attachment {name} was not read" for name in attachments)
    return Loaded(_header(message, "Subject") or source.stem, tuple(blocks), "message/rfc822", warnings=warnings)


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message[name] or "").split())


def _body(message: EmailMessage) -> list[Block]:
    body = message.get_body(("plain", "html"))
    if body is None:
        return []
    data = body.get_payload(decode=True)
    text = decode(data if isinstance(data, bytes) else b"", named=body.get_content_charset()).text
    return html_blocks(text) if body.get_content_subtype() == "html" else paragraphs(text)


def _attachment(part: Message) -> str:
    data = part.get_payload(decode=True)
    size = f", {format_bytes(len(data))}" if isinstance(data, bytes) else ""
    return f"{part.get_filename() or 'without a name'} ({part.get_content_type()}{size})"


LOADER = Loader("message/rfc822", (".eml",), load_mail)
