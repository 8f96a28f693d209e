"""The demo: a simulated lender, its models, and a live stream, each through the real programs."""
