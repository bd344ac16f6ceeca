"""`python -m bench`: the same command as `bench` and `twinbench`."""

from bench.cli import main

if __name__ == "__main__":
    main()
