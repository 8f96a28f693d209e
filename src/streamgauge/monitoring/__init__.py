"""Watching a model in use: drift, data quality, performance with and without labels, and alerts.

Nothing is watched yet: this package comes after decisions in the way of the data, and is filled when models have a life
after their registration.
"""
