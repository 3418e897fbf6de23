"""What a lesson calls: setup, show, claim, check, and the records of long experiments."""

from sslcourse.lesson.claims import ClaimError, Verdict, build_dir, claim, explored, judge, lesson_name
from sslcourse.lesson.exercises import CheckError, check
from sslcourse.lesson.session import Setup, setup
from sslcourse.lesson.showing import show
from sslcourse.studies.records import ROOT, commit, device_name, record, results_dir, save_record

__all__ = [
    "ROOT",
    "CheckError",
    "ClaimError",
    "Setup",
    "Verdict",
    "build_dir",
    "check",
    "claim",
    "commit",
    "device_name",
    "explored",
    "judge",
    "lesson_name",
    "record",
    "results_dir",
    "save_record",
    "setup",
    "show",
]
