"""The programs: settings, wiring (the one composition root), the engine, the command line and the HTTP API."""
