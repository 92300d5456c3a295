"""What a lab remembers: students, experiments, final submissions, and a ledger of every second."""
