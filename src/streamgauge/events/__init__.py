"""What happened: validation of incoming records, decimals, the quarantine, and the wire codec.

A record enters here as text or as a column of a frame, and leaves as a typed, canonical event or as a quarantined one
with its reason.
"""
