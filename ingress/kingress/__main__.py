"""`python -m kingress`."""

import sys

from kingress.cli import main

sys.exit(main())
