"""Payments of cards at merchants in trouble: each event is of a card, of a merchant, and of both together."""

from __future__ import annotations

from typing import ClassVar

from streamgauge.definitions.roles import keys_of
from tests.properties.troubled import Flat, Troubled

COUNTRIES = ("ES", "Ω", "", None)


class TroubledPayments(Troubled):
    """A seeded source of payments and disputes; ids of cards have to be escaped in those of pairs."""

    IDS: ClassVar[tuple[str, ...]] = ("card", "merchant")
    DECIDED: ClassVar = "Payment"
    REACHING: ClassVar[tuple[str, ...]] = ("Payment", "Payment", "Dispute")
    READ: ClassVar = "payment"

    def entity(self) -> str:
        """Return a card, a merchant or a pair as a read names it: one that an event named, or any."""
        event = (
            self._told[int(self._draw.integers(len(self._told)))] if self._told and self._draw.random() < 0.8 else {}
        )
        ids = {role: event.get(role) or self.id_of(role) for role in self.IDS}
        keys = list(keys_of(ids).values())
        return keys[int(self._draw.integers(len(keys)))]

    def id_of(self, role: str) -> str:
        """Return the id of a card, of which a few share a bar, or of a merchant, one of which is hot."""
        number = int(self._draw.integers(self.entities))
        if role == "merchant":
            return "hot" if self._draw.random() < 0.4 else f"m{number // 3}"
        return "%|hot" if self._draw.random() < 0.15 else f"c|{number}"

    def _stream(self) -> str:
        return "Payment" if self._draw.random() < 0.85 else "Dispute"

    def _filled(self, event: Flat) -> Flat:
        if event.get("op") == "delete":
            return event
        if event["stream"] == "Dispute":
            payments = [one["id"] for one in self._told if one["stream"] == "Payment"]
            return event | {"payment": self._pick((None, *payments[-5:])), "cost": self._number(2)}
        return event | {
            "amount": self._number(2),
            "country": self._pick(COUNTRIES),
            "present": (True, False, None)[int(self._draw.integers(3))],
        }

    def _again(self, event: Flat, chance: float) -> Flat:
        """Return an earlier event once more; now and then of another merchant or card, which is refused."""
        again = super()._again(event, chance)
        if self._draw.random() < 0.1:
            role = self._pick(self.IDS)
            return again | {str(role): "elsewhere"}
        return again
