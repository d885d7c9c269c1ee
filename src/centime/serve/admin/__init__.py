"""Keys, budgets and teams over HTTP, for whoever holds the administrator's key."""
