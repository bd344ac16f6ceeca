"""Running cells: the plan, the worker process of a cell, the parent that guards it."""
