"""What both applications stand on: the server, who may come in, how bodies are read, answers and errors written."""
