#!/usr/bin/env bash
# How commands are started here. Edit this file, not run.sh, to send training to a queue.

# train_command NGPU: sets the array launcher. 0 is the CPU; 2 and more starts one worker for each GPU.
train_command() {
  if (($1 <= 1)); then
    launcher=(vqvc-train)
  else
    launcher=(python -m torch.distributed.run --standalone --nproc-per-node "$1" -m vqvc.cli.train)
  fi
}
