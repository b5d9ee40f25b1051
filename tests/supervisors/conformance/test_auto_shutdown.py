"""Auto shutdown: a supervisor that ends with its significant children (U1 to U3)."""

import pytest

pytestmark = pytest.mark.anyio
