"""Judging one side against another."""
