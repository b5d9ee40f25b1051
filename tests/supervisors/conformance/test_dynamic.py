"""Dynamic supervisors: children that come and go (D1 to D3)."""

import pytest

pytestmark = pytest.mark.anyio
