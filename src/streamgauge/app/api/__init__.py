"""The HTTP API: ingest events, read scores and features, make and read decisions."""
