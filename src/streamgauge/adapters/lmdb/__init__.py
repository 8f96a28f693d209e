"""LMDB: the states of entities in one memory-mapped file."""
