"""One module for each generated file; see tools/generate.py."""
