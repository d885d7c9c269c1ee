"""Amounts in one currency as amounts in another: dated exchange rates, the catalogue's and the user's."""
