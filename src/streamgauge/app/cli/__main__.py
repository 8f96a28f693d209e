"""``python -m streamgauge.app.cli`` is ``streamgauge``."""

from streamgauge.app.cli.main import main

if __name__ == "__main__":
    main()
