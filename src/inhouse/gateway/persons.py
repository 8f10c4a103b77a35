"""Whose a conversation is: a key's (of a page as key:<id>, of an agent over the API as <id>) or the command line's."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from inhouse.gateway.identity import LOCAL_CALLER, Caller
from inhouse.store.agent_tables import conversations
from inhouse.store.gateway_tables import api_keys

_PERSON = conversations.c.person


def of_any_key() -> ColumnElement[bool]:
    """Conversations that began with a key, also with one that was revoked, or on the open gateway."""
    ids = select(api_keys.c.id)
    return _PERSON.startswith("key:") | _PERSON.in_(ids) | (LOCAL_CALLER.key_id == _PERSON)


def seen_by(caller: Caller) -> ColumnElement[bool]:
    """The caller's own; for an admin also those of no key, which were made on the command line."""
    own = _PERSON.in_([f"key:{caller.key_id}", caller.key_id])
    return own | ~of_any_key() if caller.role == "admin" else own
