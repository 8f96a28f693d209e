"""From declared features to values: the program, the window kernel, the state of an entity, and backfill.

The kernel and the codec of EntityState exist once; every host moves batches to them, and none computes a feature.
"""
