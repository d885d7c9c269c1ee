"""From what a client asks an answer to fit - a JSON schema, a pattern, EBNF, tools - to a grammar that holds it."""
