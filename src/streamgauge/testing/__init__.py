"""For testing risk projects and adapters: conformance checks, the portfolio simulator, builders and a fake clock."""
