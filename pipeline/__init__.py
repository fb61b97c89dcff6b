"""Build PyTorch x CUDA x vLLM images, prove each by inference, publish only what was proven."""
