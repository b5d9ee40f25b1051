"""Operating a system: metrics for Prometheus, and what the command line does."""

from ...runtime import claim
from ._config import add_config_parser, run_config
from ._doctor import Finding, add_doctor_parser, examine, run_doctor
from ._metrics import SystemCollector, scrape
from ._probe import ProbeResult, add_probe_parser, run_probe

__all__ = [
    "Finding",
    "ProbeResult",
    "SystemCollector",
    "add_config_parser",
    "add_doctor_parser",
    "add_probe_parser",
    "examine",
    "run_config",
    "run_doctor",
    "run_probe",
    "scrape",
]

claim(globals())
