#!/usr/bin/env bash
# How commands are started here. Edit this file, not run.sh, to send training to a queue.

# train_command NGPU: sets the array launcher. 0 is the CPU; 2 and more starts one worker for each GPU, and starts them
# again from the last checkpoint when one dies, each time with a rendezvous store of its own: in a shared one workers may find
# the addresses of those that are gone.
train_command() {
  case $1 in
    0) launcher=(vqvc-train --device cpu) ;;
    1) launcher=(vqvc-train) ;;
    *) launcher=(env TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 python -m torch.distributed.run --standalone --nproc-per-node "$1" --max-restarts 3 -m vqvc.cli.train) ;;
  esac
}
