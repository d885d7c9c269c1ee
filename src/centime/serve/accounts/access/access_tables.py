"""The tables of former secrets, of keys that end, and of what administrators did."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS former_secrets (  -- of keys that were rotated, each good until its instant
  hash BLOB NOT NULL PRIMARY KEY, key TEXT NOT NULL, until_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_ends (key TEXT NOT NULL PRIMARY KEY, at_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (  -- what was done to keys and budgets, by whom: a line in the same transaction
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
  target TEXT NOT NULL, details TEXT NOT NULL);
"""
