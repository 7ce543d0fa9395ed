"""`python -m wirebook`."""

from wirebook.cli import main

raise SystemExit(main())
