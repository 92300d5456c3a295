"""Constants as papers print them, and with all their digits."""

from __future__ import annotations

import numpy as np

HOFFMANN_PRINTED = np.array([1.69, 406.4, 0.34, 410.7, 0.28])
"""E (nats), A, alpha, B, beta of Hoffmann et al. (2022), appendix D.3; N: parameters, D: tokens, C = 6ND."""
HOFFMANN_UNROUNDED = np.array(
    [np.exp(0.5267228), np.exp(6.0073404), 0.33917084, np.exp(6.0179186), 0.2849083]
)
"""The same with all their digits, as the notebook of Besiroglu et al. (2024) has them."""
HOFFMANN_THREE_DIGITS = np.array([1.69, 406.4, 0.336, 410.7, 0.283])
"""The same with exponents of three digits, as Sardana et al. (2024) use them [M]."""
MUENNIGHOFF = np.array([np.exp(0.62548), np.exp(6.2554), np.exp(7.3050), 0.35266, 15.3878, 5.3097])
"""E (nats), A, B, alpha, R_D*, R_N* of Muennighoff et al. (2023), equation 7; U, N, D in units of one."""
