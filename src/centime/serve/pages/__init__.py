"""The web page at `/`: its files, the views of engine, money and plans, and the API's reference at `/docs`."""
