"""Decisions: the policy that makes one, the chained ledger that keeps it, and the replay that verifies it."""
