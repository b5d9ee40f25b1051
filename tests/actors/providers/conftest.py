"""The fakes a test module has opened, as new for each test."""

import pytest

from tests.actors.providers.servers import Servers


@pytest.fixture
def servers(opened: Servers) -> Servers:
    """Reset the fakes of the module's own fixture ``opened``."""
    opened.reset()
    return opened
