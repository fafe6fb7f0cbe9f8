"""Say plainly which Python is needed, before pip says it at length."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"Mintage needs Python 3.11, 3.12 or 3.13; {sys.executable} is {sys.version.split()[0]}.\n"
        "Name another one: make install PYTHON=python3.11"
    )
