"""Trains a student's config for real: its model, its programs, its clock, and the machine that is charged."""
