"""From what a person names to documents: files, folders, globs, pipes and datasets of the Hub, read one by one.

A source is text, JSON, JSON lines or Parquet, compressed or not; what is left out on the way is counted and said.
"""

from centime.data.sources.left_out import LeftOut, ReadOptions, read_options, tally
from centime.data.sources.readers import read_documents, records
from centime.data.sources.source_file import SourceFile
from centime.data.sources.specs import Sources, expand, local_file, local_paths

__all__ = [
    "LeftOut",
    "ReadOptions",
    "SourceFile",
    "Sources",
    "expand",
    "local_file",
    "local_paths",
    "read_documents",
    "read_options",
    "records",
    "tally",
]
