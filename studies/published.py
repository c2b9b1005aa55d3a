"""The numbers that the papers print, table by table, as they stand there."""

from __future__ import annotations

UI2I = "Huang, Liao and Kwong 2020, arXiv:2010.05713"
UI2I_TABLE_1 = {
    "face2anime": (0.747, 0.650, 0.639, 0.610, 0.571, 0.548),
    "face2cartoon": (0.632, 0.551, 0.483, 0.450, 0.398, 0.315),
    "face2portrait": (0.759, 0.636, 0.612, 0.515, 0.455, 0.379),
    "cartoon2metface": (0.692, 0.627, 0.587, 0.537, 0.478, 0.398),
    "cat2dog": (0.672, 0.625, 0.599, 0.598, 0.595, 0.581),
    "cat2wild": (0.593, 0.570, 0.568, 0.567, 0.561, 0.557),
}
"""Table I, LPIPS over 2000 latents; rows as in ``UI2I_ROWS``."""
UI2I_ROWS = ("w/o FT", "FT", "FC-FT", "FC-FT-LS1", "FC-FT-LS3", "FC-FT-LS5")
UI2I_TRANSITIVITY = {"two models of one base": 0.434, "fine-tuned directly": 0.398, "trained independently": 0.692}
"""Sec. IV-C: the cartoon and the portrait model, both made from faces; 0.692 and 0.398 are the ends of Table I's column
cartoon2metface, so that *directly* is with LS5."""
UI2I_TABLE_2 = {
    "CycleGAN": {"portrait": (54.472, 0.649, 0.587), "anime": (78.452, 0.645, 0.598)},
    "MUNIT": {"portrait": (62.683, 0.650, 0.677), "anime": (66.261, 0.749, 0.770)},
    "DRIT++": {"portrait": (76.271, 0.706, 0.667), "anime": (72.293, 0.647, 0.751)},
    "FC-FT": {"portrait": (32.480, 0.743, 0.489), "anime": (52.930, 0.767, 0.591)},
    "FC-FT-LS": {"portrait": (34.147, 0.742, 0.468), "anime": (53.737, 0.767, 0.573)},
}
"""Table II: FID, LPIPS_d, LPIPS_s of 2000 outputs; layers are swapped up to LS5 for portrait and LS3 for anime."""
AGILEGAN = "Song et al. 2021, ACM TOG 40(4)"
AGILEGAN_TABLE_1 = {"Toonify": 82.7, "CycleGAN": 109.3, "UNIT": 123.9, "U-GAT-IT": 104.7, "AgileGAN": 64.7}
"""Table 1: FID of 2000 stylized photos by method; preferred in 25.4, 1.3, 10.8, 4.6 and 57.9 % of 1000 questions."""
AGILEGAN_TABLE_2 = {
    "hVAE": 64.7,
    "pSp": 69.0,
    "optimisation, W": 71.9,
    "optimisation, W+": 74.7,
    "in-domain": 78.6,
}
"""Table 2: FID of 2000 stylized photos by embedding; optimisation as in Toonify and as in Image2StyleGAN."""
CARTOON = "Back 2021, arXiv:2106.12445"
