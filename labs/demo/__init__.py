"""A class of scripted students who play a lab from the first run to the grades, over real HTTP."""
