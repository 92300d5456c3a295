"""The three approaches of Hoffmann et al. (2022), and the one call that runs them."""
