"""Roles: the entity fields an event has, their pairs, and the keys of entities.

An event is about one entity or several: ``card``, ``merchant``. Two of its roles together are a pair, the role
``card|merchant``, whose names are in alphabetical order whatever order a stream declares them in; a pair's id is both
ids, in that order, with ``%`` and ``|`` escaped. An entity's key is ``role:id``.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_ROLES: Final = 4
"""The most entity fields an event has: the log holds a record for each role and for each pair."""

_BAR: Final = "|"


def pair_role(first: str, second: str) -> str:
    """Return the role of two roles together.

    >>> pair_role("merchant", "card")
    'card|merchant'
    """
    return _BAR.join(sorted((first, second)))


def is_pair(role: str) -> bool:
    """Return whether a role is two together."""
    return _BAR in role


def members(role: str) -> tuple[str, ...]:
    """Return the roles that a role is made of: a pair's two, or itself.

    >>> members("card|merchant"), members("card")
    (('card', 'merchant'), ('card',))
    """
    return tuple(role.split(_BAR))


def pair_id(first: str, second: str) -> str:
    """Return the id of a pair, whose ids are given in the order of `pair_role`.

    >>> pair_id("C-1", "M|7")
    'C-1|M%7C7'
    """
    return f"{_escaped(first)}{_BAR}{_escaped(second)}"


def pair_ids(pair: str) -> tuple[str, ...]:
    """Return the two ids of a pair's id; more or fewer where it is none.

    >>> pair_ids("C-1|M%7C7")
    ('C-1', 'M|7')
    """
    return tuple(part.replace("%7C", _BAR).replace("%25", "%") for part in pair.split(_BAR))


def every_role(roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the roles that a stream's records are logged under: each role, the primary one first, then each pair.

    >>> every_role(("card",)), every_role(("card", "merchant"))
    (('card',), ('card', 'merchant', 'card|merchant'))
    """
    return roles + tuple(pair_role(first, second) for first, second in combinations(roles, 2))


def keys_of(ids: dict[str, str]) -> dict[str, str]:
    """Return the entity keys of an event by role, pairs included, in the order of `every_role`.

    Args:
        ids: The id of each role, the primary one first.

    >>> keys_of({"card": "C-1", "merchant": "M-7"})["card|merchant"]
    'card|merchant:C-1|M-7'
    """
    keys = {role: f"{role}:{found}" for role, found in ids.items()}
    for first, second in combinations(ids, 2):
        role = pair_role(first, second)
        low, high = members(role)
        keys[role] = f"{role}:{pair_id(ids[low], ids[high])}"
    return keys


def role_of(key: str) -> str:
    """Return the role of an entity key.

    >>> role_of("account:A-17")
    'account'
    """
    return key.partition(":")[0]


def keys_within(key: str) -> dict[str, str]:
    """Return the keys that an entity's key tells, by role: its own, and for a pair those of its two entities.

    >>> keys_within("card|merchant:C-1|M-7")
    {'card|merchant': 'card|merchant:C-1|M-7', 'card': 'card:C-1', 'merchant': 'merchant:M-7'}
    """
    role, _, found = key.partition(":")
    if not is_pair(role):
        return {role: key}
    both = zip(members(role), pair_ids(found), strict=False)
    return {role: key, **{name: f"{name}:{one}" for name, one in both}}


def named_key(entity: str, roles: Collection[str]) -> str | None:
    """Return the key that an entity's text is where it names one of several roles, or None where it is an id alone.

    >>> named_key("merchant:M-7", ["card", "merchant"]), named_key("M-7", ["card", "merchant"])
    ('merchant:M-7', None)
    >>> named_key("account:7", ["account"]) is None  # one role needs no name: this is an id
    True
    """
    role, colon, found = entity.partition(":")
    return entity if colon and found and len(roles) > 1 and role in roles else None


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace(_BAR, "%7C")
