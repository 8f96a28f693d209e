"""Streaming risk scoring: point-in-time features, calibrated models and decisions that replay."""
