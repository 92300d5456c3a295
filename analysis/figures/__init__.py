"""Figures of a report: one module a figure, each described once, for paper, page and notebook."""
