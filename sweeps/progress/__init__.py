"""What a person sees of a sweep: the live view, its state, the tables in its folder, its summary."""
