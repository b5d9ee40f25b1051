"""Operating a system: metrics for Prometheus, and what the command line does."""

from ...runtime import claim
from ._config import add_config_parser, run_config
from ._doctor import Finding, add_doctor_parser, examine, run_doctor
from ._job_metrics import JobCollector, JobFigures, read_job_figures, scrape_jobs
from ._jobs import run_jobs
from ._jobs_parser import add_jobs_parser
from ._metrics import SystemCollector, scrape
from ._probe import ProbeResult, add_probe_parser, run_probe

__all__ = [
    "Finding",
    "JobCollector",
    "JobFigures",
    "ProbeResult",
    "SystemCollector",
    "add_config_parser",
    "add_doctor_parser",
    "add_jobs_parser",
    "add_probe_parser",
    "examine",
    "read_job_figures",
    "run_config",
    "run_doctor",
    "run_jobs",
    "run_probe",
    "scrape",
    "scrape_jobs",
]

claim(globals())
