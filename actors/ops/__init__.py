"""Operating a system: metrics for Prometheus, and what the command line does."""

from ...runtime import claim
from ._config import add_config_parser, run_config
from ._doctor import Finding, add_doctor_parser, examine, run_doctor
from ._jobs import add_jobs_parser, run_jobs
from ._metrics import SystemCollector, scrape

__all__ = [
    "Finding",
    "SystemCollector",
    "add_config_parser",
    "add_doctor_parser",
    "add_jobs_parser",
    "examine",
    "run_config",
    "run_doctor",
    "run_jobs",
    "scrape",
]

claim(globals())
