"""`examine`: one verdict on a checkpoint folder from anywhere, without torch, whatever state the folder is in.

checkup = examine("some/folder")
print(checkup.verdict)

A file for each group of checks; `examination` has the table of all of them.
"""

from minibert.verification.doctor.checkup import Checkup, Row
from minibert.verification.doctor.examination import examine
from minibert.verification.doctor.findings import Finding

__all__ = ["Checkup", "Finding", "Row", "examine"]
