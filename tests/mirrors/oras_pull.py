"""Pulls with oras: oras_pull.py NAME DIRECTORY. Prints what the image has in its file."""

import pathlib
import sys

import oras.client

name, directory = sys.argv[1:]
# A layer of an image is what oras takes for a directory: it is unpacked.
oras.client.OrasClient(insecure=True).pull(target=name, outdir=directory)
print((pathlib.Path(directory) / "version").read_text())
