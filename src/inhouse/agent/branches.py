"""How branched conversations belong together: which are one family, and where their ways part.

Pure functions over conversations of one person; knows no store and no page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inhouse.agent.records import Conversation


def root_of(conversation: Conversation, by_id: Mapping[str, Conversation]) -> str:
    """The id that a family goes by: of the first conversation, which may be gone."""
    while conversation.parent_id is not None and conversation.parent_id in by_id:
        conversation = by_id[conversation.parent_id]
    return conversation.parent_id or conversation.id


def families(found: Sequence[Conversation]) -> dict[str, list[Conversation]]:
    """The conversations by family (see `root_of`), each with the last used first, families likewise."""
    by_id = {one.id: one for one in found}
    grouped: dict[str, list[Conversation]] = {}
    for one in sorted(found, key=lambda one: (one.updated_at, one.id), reverse=True):
        grouped.setdefault(root_of(one, by_id), []).append(one)
    return grouped


def alternatives(
    conversation: Conversation, family: Sequence[Conversation], lengths: Mapping[str, int]
) -> dict[int, list[str]]:
    """By the number of each of the conversation's steps that went other ways too: a conversation for each way.

    In the order in which the ways were first taken; the one that the conversation itself takes is itself. `lengths`
    is how many steps each of the family has.
    """
    by_id = {one.id: one for one in family}
    ways: dict[int, list[str]] = {}
    for number in sorted({one.parent_step for one in family if one.parent_step is not None}):
        before = _origin(conversation, number - 1, by_id)
        taken: dict[str, str] = {}
        for one in sorted(family, key=lambda one: (one.updated_at, one.id)):
            if lengths.get(one.id, 0) > number and (number == 0 or _origin(one, number - 1, by_id) == before):
                taken[_origin(one, number, by_id)] = one.id  # the last used stands for its way
        own = _origin(conversation, number, by_id)
        if own in taken and len(taken) > 1:
            taken[own] = conversation.id
            ways[number] = [taken[origin] for origin in sorted(taken)]
    return ways


def _origin(conversation: Conversation, number: int, by_id: Mapping[str, Conversation]) -> str:
    """The conversation in which this one's step of that number was first taken."""
    while conversation.parent_id is not None and number < (conversation.parent_step or 0):
        if conversation.parent_id not in by_id:
            return conversation.parent_id
        conversation = by_id[conversation.parent_id]
    return conversation.id
