"""Pictures of numbers, for every page that centime writes: SVG that needs no script, in light and dark, with words for
a screen reader. What a chart says is in kinds.py; draw.py draws it, tables.py gives its numbers, page.py the page.
"""
