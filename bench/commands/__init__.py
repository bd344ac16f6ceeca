"""One module per verb of the command; each holds a click command named `command`."""
