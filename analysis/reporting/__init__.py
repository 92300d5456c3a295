"""From a table or a sweep's folder to figures and one self-contained page."""
