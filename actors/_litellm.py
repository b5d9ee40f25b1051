"""Read the price list that comes with litellm, where that is installed.

The file is found and read without importing litellm: the import takes 169 MB, and fetches the list
from the network.
"""

import importlib.util
import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import msgspec

from ..runtime import SettingsError

_FILE = "model_prices_and_context_window_backup.json"
_MOST_BYTES = 32 * 1024 * 1024

# litellm's name, ours, and how many of its units make one of ours. Its other keys are the same names with
# a suffix (`_batches`, `_flex`, `_priority`, `_above_272k_tokens`): what special ways of asking cost.
_COSTS = (
    ("input_cost_per_token", "input", 1e6),
    ("output_cost_per_token", "output", 1e6),
    ("cache_read_input_token_cost", "cached_input", 1e6),
    ("cache_creation_input_token_cost", "cache_write", 1e6),
    ("input_cost_per_character", "thousand_characters", 1e3),
    ("output_cost_per_image", "image", 1.0),
)
_NOT_A_MODEL = "sample_spec"


def litellm_file() -> Path | None:
    """Say where the list is; None where litellm is not installed."""
    try:
        spec = importlib.util.find_spec("litellm")
    except ValueError:  # something that is no real module goes by the name
        return None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / _FILE
    return file if file.is_file() else None


def read_litellm(file: Path) -> tuple[dict[str, dict[str, float]], date]:
    """Return the prices by model, and the day the file was written here.

    Entries that name no price are left out: unknown is not free.

    Raises:
        SettingsError: It can't be read, is too long, or is no such list.
    """
    try:
        with file.open("rb") as stream:
            body = stream.read(_MOST_BYTES + 1)
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC).date()
    except OSError as error:
        raise SettingsError(str(file), f"can't be read: {error.strerror}") from error
    if len(body) > _MOST_BYTES:
        raise SettingsError(
            str(file), f"is longer than {_MOST_BYTES} bytes: that is not litellm's price list"
        )
    found = {model: costs for model, entry in _entries(file, body).items() if (costs := _costs(entry))}
    found.pop(_NOT_A_MODEL, None)
    if not found:
        raise SettingsError(str(file), "holds no price: that is not litellm's price list")
    return found, written


def _entries(file: Path, body: bytes) -> dict[str, object]:
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(str(file), f"is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise SettingsError(str(file), "is not litellm's price list: it has to be an object of models")
    return cast("dict[str, object]", decoded)


def _costs(entry: object) -> dict[str, float]:
    values = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    costs: dict[str, float] = {}
    for theirs, ours, units in _COSTS:
        value = values.get(theirs)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value * units < math.inf:
            costs[ours] = round(value * units, 9)
    return costs
