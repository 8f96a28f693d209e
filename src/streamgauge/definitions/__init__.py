"""What a user writes: events and their fields, conditions, windows, features, labels, models and policies.

Every definition is checked when the project file is loaded, has one canonical form, and is hashed by it. Nothing here
needs more than the standard library, so loading a project file is quick.
"""
