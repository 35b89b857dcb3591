"""`python -m strongreid.cli`."""

import sys

from strongreid.cli import main

sys.exit(main())
