"""The tables of budgets: what may be spent, what was, what running requests hold of it, who is to be told."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS budgets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  target TEXT NOT NULL,            -- see targets.py
  per TEXT NOT NULL, zone TEXT NOT NULL,  -- day, month or ever, of this time zone
  currency TEXT NOT NULL, pico INTEGER NOT NULL,  -- pico-units in one window
  hard INTEGER NOT NULL,           -- 0: nobody is refused
  shares TEXT NOT NULL,            -- per cent of it at which somebody is told: '50,80,100'
  webhook TEXT NOT NULL, created_ns INTEGER NOT NULL, UNIQUE (target, per));
CREATE TABLE IF NOT EXISTS budget_spent (  -- who: '' but for budgets of each person
  budget INTEGER NOT NULL, who TEXT NOT NULL, begin_ns INTEGER NOT NULL, pico INTEGER NOT NULL,
  PRIMARY KEY (budget, who, begin_ns));
CREATE TABLE IF NOT EXISTS budget_held (  -- which budgets a reservation is held of
  reservation INTEGER NOT NULL, budget INTEGER NOT NULL, who TEXT NOT NULL, begin_ns INTEGER NOT NULL,
  PRIMARY KEY (budget, who, begin_ns, reservation));
CREATE INDEX IF NOT EXISTS budget_held_reservation ON budget_held (reservation);
CREATE TABLE IF NOT EXISTS alerts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, budget INTEGER NOT NULL, who TEXT NOT NULL, begin_ns INTEGER NOT NULL,
  share INTEGER NOT NULL, at_ns INTEGER NOT NULL, spent INTEGER NOT NULL,  -- when the share was passed, with how much
  url TEXT NOT NULL, sent_ns INTEGER, tries INTEGER NOT NULL, next_ns INTEGER NOT NULL,
  UNIQUE (budget, who, begin_ns, share));
CREATE INDEX IF NOT EXISTS alerts_due ON alerts (next_ns) WHERE sent_ns IS NULL;
"""
