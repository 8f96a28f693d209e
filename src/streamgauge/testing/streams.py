"""Streams for tests: one like the credit project's movements, one with a field of every kind, and two of two roles."""

from __future__ import annotations

from typing import Final

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec

DAY_US: Final = 86_400_000_000

MOVEMENT: Final = StreamSpec(
    "Movement",
    "id",
    "account",
    "booked_at",
    (
        FieldSpec("amount", FieldKind.MONEY, decimals=2),
        FieldSpec("balance", FieldKind.MONEY, decimals=2, required=False),
        FieldSpec("kind", FieldKind.CATEGORY, levels=("salary", "card", "loan", "other")),
        FieldSpec("counterparty", FieldKind.KEY, required=False),
    ),
    lateness_us=30 * DAY_US,
    tolerance_us=300_000_000,
    feed=True,
)
"""Movements on a current account."""

EVERYTHING: Final = StreamSpec(
    "Everything",
    "id",
    "account",
    "at",
    (
        FieldSpec("money", FieldKind.MONEY, decimals=2, required=False),
        FieldSpec("ratio", FieldKind.NUMBER, decimals=4, required=False, rounds=True, low=-100_000, high=100_000),
        FieldSpec("whole", FieldKind.INTEGER, required=False, default=0),
        FieldSpec("flag", FieldKind.FLAG, required=False),
        FieldSpec("level", FieldKind.CATEGORY, required=False, levels=("low", "mid", "high")),
        FieldSpec("country", FieldKind.CATEGORY, required=False),
        FieldSpec("key", FieldKind.KEY, required=False),
        FieldSpec("target", FieldKind.REF, required=False, to="Movement"),
    ),
    lateness_us=30 * DAY_US,
    tolerance_us=300_000_000,
    zone="Europe/Berlin",
)
"""A field of every kind, none required, and naive times in Berlin."""

PAYMENT: Final = StreamSpec(
    "Payment",
    "id",
    "card",
    "at",
    (
        FieldSpec("card", FieldKind.KEY),
        FieldSpec("merchant", FieldKind.KEY),
        FieldSpec("amount", FieldKind.MONEY, decimals=2),
        FieldSpec("country", FieldKind.CATEGORY, required=False),
    ),
    lateness_us=30 * DAY_US,
    tolerance_us=300_000_000,
    other_roles=("merchant",),
)
"""Payments of a card at a merchant."""

DISPUTE: Final = StreamSpec(
    "Dispute",
    "id",
    "merchant",
    "at",
    (
        FieldSpec("merchant", FieldKind.KEY),
        FieldSpec("card", FieldKind.KEY),
        FieldSpec("payment", FieldKind.REF, to="Payment"),
    ),
    lateness_us=30 * DAY_US,
    tolerance_us=300_000_000,
    other_roles=("card",),
)
"""Disputes of payments, first of all the merchant's."""

ROLE_STREAMS: Final = {spec.name: spec for spec in (PAYMENT, DISPUTE)}
"""Those of two roles, by name."""

STREAMS: Final = {spec.name: spec for spec in (MOVEMENT, EVERYTHING)}
"""Those of one role, by name."""
