"""`python -m kproxy` is the command `kproxy`."""

import sys

from kproxy.cli import main

sys.exit(main())
