"""API workers: processes that speak HTTP and ask the one that owns the data."""
