"""The next model: triggers, the challenger, the gate it must pass, promotion and rollback.

Nothing retrains yet: this package comes last in the way of the data, and is filled after monitoring.
"""
