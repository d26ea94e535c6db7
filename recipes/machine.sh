#!/usr/bin/env bash
# What differs between Linux and macOS.

# cores: how many processor cores there are.
cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# gpus: how many NVIDIA GPUs there are.
gpus() { { nvidia-smi -L 2>/dev/null || true; } | grep -c . || true; }

# sha256 FILE: its SHA-256 in hexadecimal.
sha256() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1" | cut -d' ' -f1; else shasum -a 256 <"$1" | cut -d' ' -f1; fi
}

# absolute PATH: the same path from the root. Its folder has to exist.
absolute() { (cd "$(dirname "$1")" && printf '%s/%s\n' "$PWD" "$(basename "$1")"); }
