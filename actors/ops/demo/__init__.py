"""The demo: a hundred comics from one story, drawn by services that fail, and none lost.

    python -m relight demo --comics 100 --fault-rate 0.2 --seed 7

Each comic is a durable job: its steps ask three supervised services over real HTTP, Anthropic for an
outline, OpenAI for what the panels show, RunPod for four pictures. The services are the fakes of
`relight.actors.fakes`; one of them goes down in the middle. A job keeps the steps it has finished, waits
when a service refuses, and ends, done or dead with a reason. Kill the process and start it again with the
same ``--store``: it goes on where it was, and pays for no finished step again.
"""

from ....runtime import claim
from ._command import DemoOptions, add_demo_parser, run_demo
from ._display import Display, LiveDisplay, PlainDisplay, open_display
from ._figures import percentile, refusal_kind
from ._jobs import JobBoard, JobStatistics, Order
from ._novel import MAX_NOVEL_BYTES, NovelError, read_novel, read_story
from ._output import Comic, OutputError, Panel, Shelf, check_writable
from ._pace import SETTINGS_FILE
from ._prompts import read_image, read_panels
from ._report import (
    BreakerCounts,
    JobCounts,
    Latency,
    ProviderReport,
    Report,
    StepCounts,
    report_lines,
    write_report,
)
from ._scenes import Scene, cut_scenes, cut_text
from ._snapshot import ProviderRow, Snapshot, headline, status_line
from ._tables import align

__all__ = [
    "MAX_NOVEL_BYTES",
    "SETTINGS_FILE",
    "BreakerCounts",
    "Comic",
    "DemoOptions",
    "Display",
    "JobBoard",
    "JobCounts",
    "JobStatistics",
    "Latency",
    "LiveDisplay",
    "NovelError",
    "Order",
    "OutputError",
    "Panel",
    "PlainDisplay",
    "ProviderReport",
    "ProviderRow",
    "Report",
    "Scene",
    "Shelf",
    "Snapshot",
    "StepCounts",
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
    "write_report",
]

claim(globals())
