#!/usr/bin/env bash
# Runs docs/quickstart.md as a reader would: every block marked `sh`, in order, in one shell, in an empty folder.
# LOG says where the log is, and `bulla` must be in PATH. Prints a TAP line for each block.
set -euo pipefail

page=$(realpath "$(dirname "$0")/../../docs/quickstart.md")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

{
  # File descriptor 3 carries our lines, so that what the blocks print is shown only if one fails.
  echo 'trap '\''[ "$at" = end ] || echo "not ok - $at: exited $?" >&3'\'' EXIT'
  awk '
    /^## / { section = substr($0, 4) }
    /^```sh$/ { inside = 1; printf "at=\"quickstart.md line %d, %s\"\n", NR, section ? section : "start"; next }
    /^```$/ && inside { inside = 0; print "echo \"ok - $at\" >&3"; next }
    inside { print }
  ' "$page"
  echo 'at=end'
} > blocks

if ! bash -euo pipefail blocks 3>&1 > output 2>&1; then
  sed 's/^/# /' output
  exit 1
fi
