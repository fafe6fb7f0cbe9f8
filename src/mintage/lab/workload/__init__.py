"""What is priced: requests and other events of customers, as one Parquet table.

In: CSV, JSON lines or Parquet in a known or mapped shape, or parameters of a generator. Out: a Workload, and
a report that accounts for every row. Start with table.py; read.py imports, generate.py makes and fits.
"""

from mintage.lab.workload.generate import Fit, Generated, fit, generate
from mintage.lab.workload.own import import_log
from mintage.lab.workload.presets import PRESETS, Preset
from mintage.lab.workload.read import import_workload
from mintage.lab.workload.report import ImportReport, Problem
from mintage.lab.workload.table import Summary, Workload, write_arrays

__all__ = [
    "PRESETS",
    "Fit",
    "Generated",
    "ImportReport",
    "Preset",
    "Problem",
    "Summary",
    "Workload",
    "fit",
    "generate",
    "import_log",
    "import_workload",
    "write_arrays",
]
