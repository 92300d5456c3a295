"""Models by their shape: public ones, a file each, `NAME.toml`, those of a user, and a rule for the rest."""
