"""The machine a figure was measured on; a figure without it says nothing."""

import os
import platform
import re
from pathlib import Path


def describe() -> dict[str, object]:
    """Processor, cores, Python and system, as JSON values."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return found.group(1) if found else platform.machine()
