"""`python -m kendpoints`."""

import sys

from kendpoints.cli import main

sys.exit(main())
