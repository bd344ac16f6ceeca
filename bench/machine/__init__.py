"""Where cells run: what the machine is, how noisy, what it gives at most, and how a process of ours is started."""
