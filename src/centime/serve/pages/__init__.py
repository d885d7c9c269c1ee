"""The web page at `/`: its files, the views of engine, money and plans, and the API's reference at `/docs`.

Start reading at `page.py`. Plans are made by `plan_worker.py`, in processes of their own.
"""
