"""Which runs next? The interval of one quantity under noise that trunks share, and what each run would buy.

`estimate` gives the interval, `space` the cells that could be trained and their price, `criterion` the choice
among them, `guards` what has to be there before the choice may trust the law.
"""
