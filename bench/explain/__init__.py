"""Why a port differs: what each difference between the frameworks costs."""
