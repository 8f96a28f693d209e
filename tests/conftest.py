"""What every test runs under."""

from hypothesis import settings

from streamgauge.app.compiling import LATER, PARTS, compile_kernels
from streamgauge.app.service import quiet

# For nights: make soak, make fuzz.
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=5_000)

settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=2_000)

# A kernel that compiles is no failure. In CI, Hypothesis loads its own profile: no deadline, the same examples always.
if settings.get_current_profile_name() == "default":
    settings.register_profile("here", deadline=None, print_blob=True)
    settings.load_profile("here")


def pytest_sessionstart() -> None:
    """Compile what is not compiled yet, or of older sources, the processes of a run together."""
    for parts in (PARTS, LATER):
        compile_kernels(quiet, parts)
