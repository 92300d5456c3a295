"""The lab's HTTP server: the contract's calls, some of its own, and pages for people."""
