"""Several engines of one model under Ray Serve, behind one API and one ledger. Start reading at `router.py`."""
