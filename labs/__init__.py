"""Course labs: the server that trains what students submit, and the grading of what they predict."""
