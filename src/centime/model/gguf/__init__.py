"""A model for llama.cpp: one GGUF file with its weights in llama.cpp's layouts, its sizes and its vocabulary."""
