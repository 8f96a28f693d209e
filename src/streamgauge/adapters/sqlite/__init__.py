"""SQLite: the embedded size's log and ledger."""
