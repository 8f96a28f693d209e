"""The durable order of events: the Log port, positions, the tail, and the import of history.

The log alone gives a record its position and its moments; everything downstream can be rebuilt from it.
"""
