"""What both applications stand on: the server, who may come in, how bodies are read, answers and errors written.

A request passes `server.py`, `middleware.py`, `admission.py`, `auth.py` and `json_route.py`; `responses.py` answers it.
"""
