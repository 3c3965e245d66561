"""mandoc finds nothing wrong with the man pages."""

import glob
import os
import subprocess

import watchers
from lab import MAILGUARD, check, check_that, done, temp_dir

mandoc = watchers.Mandoc()
place = temp_dir()
subprocess.run([MAILGUARD, "man", place], check=True, timeout=30)
pages = sorted(glob.glob(os.path.join(place, "*.[15]")))
check_that("there are pages", len(pages) > 10, f"{pages}")
for page in pages:
    # Nothing is dated: what is in a page follows from the program alone.
    said = [line for line in mandoc.complaints(page) if "missing date" not in line]
    check(os.path.basename(page), said, [])
with open(os.path.join(place, "wrong.1"), "w") as wrong:
    wrong.write(".TH wrong 1\n.SH NAME\nwrong \\- it\n.NONE\n")
check_that("mandoc would have said so", any("NONE" in line for line in mandoc.complaints(wrong.name)))
done()
