"""`python -m workflows` is `returnn-lite`."""

import sys

from workflows.cli.main import main

sys.exit(main())
