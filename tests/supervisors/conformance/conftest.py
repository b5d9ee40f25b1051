"""Virtual time on both backends, as for the runtime's tests: what waits for hours ends at once."""

from tests.runtime.conftest import anyio_backend as anyio_backend
