"""Why a port differs: the cost of each framework default."""
