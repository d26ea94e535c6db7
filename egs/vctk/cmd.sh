#!/usr/bin/env bash
# How commands are started here. Edit this file, not run.sh, to send training to a queue.

# train_command NGPU: sets the array launcher. 0 is the CPU; 2 and more starts one worker for each GPU, and starts them
# again from the last checkpoint when one dies.
train_command() {
  case $1 in
    0) launcher=(vqvc-train --device cpu) ;;
    1) launcher=(vqvc-train) ;;
    *) launcher=(python -m torch.distributed.run --standalone --nproc-per-node "$1" --max-restarts 3 -m vqvc.cli.train) ;;
  esac
}
