"""A feature as SQL: its meaning as one query, in parts."""
