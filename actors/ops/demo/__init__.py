"""The demo: a hundred comics from one story, drawn by services that fail, and none lost.

    python -m relight demo --comics 100 --fault-rate 0.2 --seed 7

An agent actor for each comic asks three supervised services over real HTTP: Anthropic for an outline,
OpenAI for what the panels show, RunPod for four pictures. The services are the fakes of
`relight.actors.fakes`; one of them goes down in the middle. Each comic is a job: it keeps the steps it
has finished between its attempts, waits when a service refuses, and ends, done or dead with a reason.
"""

from ....runtime import claim
from ._attempts import Attempts, Bury, WaitFor
from ._command import DemoOptions, add_demo_parser, run_demo
from ._display import Display, LiveDisplay, PlainDisplay, open_display
from ._figures import percentile, refusal_kind
from ._jobs import JobBoard, JobEnd, JobState, JobStatistics
from ._novel import MAX_NOVEL_BYTES, NovelError, read_novel, read_story
from ._output import Comic, OutputError, Panel, Shelf, check_writable
from ._pace import SETTINGS_FILE
from ._prompts import read_image, read_panels
from ._report import BreakerCounts, JobCounts, Latency, ProviderReport, Report, report_lines, write_report
from ._scenes import Scene, cut_scenes, cut_text
from ._snapshot import ProviderRow, Snapshot, headline, status_line
from ._steps import MemorySteps, Steps, StepStore
from ._tables import align
from ._together import together

__all__ = [
    "MAX_NOVEL_BYTES",
    "SETTINGS_FILE",
    "Attempts",
    "BreakerCounts",
    "Bury",
    "Comic",
    "DemoOptions",
    "Display",
    "JobBoard",
    "JobCounts",
    "JobEnd",
    "JobState",
    "JobStatistics",
    "Latency",
    "LiveDisplay",
    "MemorySteps",
    "NovelError",
    "OutputError",
    "Panel",
    "PlainDisplay",
    "ProviderReport",
    "ProviderRow",
    "Report",
    "Scene",
    "Shelf",
    "Snapshot",
    "StepStore",
    "Steps",
    "WaitFor",
    "add_demo_parser",
    "align",
    "check_writable",
    "cut_scenes",
    "cut_text",
    "headline",
    "open_display",
    "percentile",
    "read_image",
    "read_novel",
    "read_panels",
    "read_story",
    "refusal_kind",
    "report_lines",
    "run_demo",
    "status_line",
    "together",
    "write_report",
]

claim(globals())
