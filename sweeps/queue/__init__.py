"""What the processes of a sweep share: its folder of records, the board of work, claims, heartbeats."""
