"""A first portrait. The cells (# %%) open as a notebook in VS Code, PyCharm, Spyder and Jupyter (with jupytext)."""

# %% A photo in two styles
from skimage.data import astronaut  # Eileen Collins, NASA, public domain

from portraitist import Stylizer

stylizer = Stylizer.from_pretrained(["toon3d", "oil"])
portraits = stylizer.stylize(astronaut())
portraits.image

# %% Save them, and the photo with the redrawn face in it
portraits.save("portrait.png")
pasted = portraits.pasted("toon3d")

# %% A mixture of styles, without looking for the face again
stylizer.add("toon3d:0.6+oil:0.4", name="half")
face = portraits.faces[0]
stylizer.redraw(face.aligned, code=face.code).save("half.png")

# %% Many photos: the networks see several faces at a time
for number, found in enumerate(stylizer.batch([astronaut(), astronaut()[:, ::-1]], batch_size=2)):
    found.save(f"batch-{number}.png")
