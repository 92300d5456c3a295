"""Processes that take jobs from the queue and run them on the lab's backend."""
