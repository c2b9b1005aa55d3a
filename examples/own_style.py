"""A style of your own, in short. The cells (# %%) open as a notebook in VS Code, PyCharm, Spyder and Jupyter."""

# %% Exemplars: a hundred aligned drawings are best. Here, what a bundled style draws of people who do not exist
from pathlib import Path

import torch

from portraitist import invert_photo, load, train_style
from portraitist.data import to_array, write_image
from portraitist.recipes import compose

style = load("charcoal").generator
drawings = style.sample_batches(torch.randn(24, style.anatomy.z_dim, generator=torch.Generator().manual_seed(0)))
for number, drawing in enumerate(drawings):
    write_image(Path("drawings") / f"{number:02d}.png", to_array(drawing))

# %% Train. Leave `training` and `images` out, and it runs until held-out exemplars no longer improve
from dataclasses import replace

training = replace(compose("freeze_fc", resolution=64), held_out=0.0, patience=0, batch=4)
trained = train_style("drawings", "runs/mine", training=training, images=8, name="mine")
trained.style

# %% Draw in it
from skimage.data import astronaut

trained.stylizer().stylize(astronaut()).save("mine.png")

# %% The code of a face
invert_photo(astronaut()).code.data.shape
