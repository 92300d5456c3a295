"""The HTTP contract: what students send and what they are answered (docs/lab-contract.md)."""
