"""What the figures of the four papers show, in our words, and what is drawn here for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure of a paper."""

    name: str
    shows: str
    here: str
    sheets: Sequence[str] = ()
    """Files beside the page."""


UI2I = (
    Figure(
        "Fig. 1, any domain to any other",
        """Models of faces, portraits, cartoons and anime, tuned from one base: a picture of one is inverted in its
        own model and drawn by another.""",
        """The same with the base, charcoal and toon3d ([surgery.md](surgery.md)): every pair keeps the person,
        even from charcoal, whose drawings have no colours.""",
        ["surgery-pairs.png"],
    ),
    Figure(
        "Fig. 3, beside other translators",
        """One photo by CycleGAN, MUNIT, DRIT++ and the paper's models, which are the sharpest and the most like
        it.""",
        """CycleGAN stands in the sheet of AgileGAN's Fig. 8 below; Table II in [reproduction.md](reproduction.md)
        has all three. They begin from nothing and saw 3000 photos: their drawings are the worse ones here too,
        and DRIT++ has not learned to draw by then.""",
    ),
    Figure(
        "Fig. 4, many appearances",
        "One source in several appearances of each target: colours and textures change, the face does not.",
        """Eight random appearances from 32 and from 64 pixels on: colours and light change, and the face stays. In
        charcoal there is little to vary.""",
        ["surgery-appearances.png"],
    ),
    Figure(
        "Fig. 5, an appearance by reference",
        "The output takes colour and light of a reference drawing and keeps the source's face.",
        """The last two columns of the sheet above: backgrounds and tints of the references arrive, finer texture
        does not.""",
    ),
    Figure(
        "Fig. 6, one direction in every model",
        "A direction of age, found in the base, makes portraits older too.",
        """Age, pose and light in the base and in two styles ([editing.md](editing.md)). Pose and light carry over
        whole; of age the styles show less than the base.""",
        ["editing.png"],
    ),
    Figure(
        "Fig. 7, which transformation",
        """The photo, then FC-FT-LS, FC-FT, FT-LS and FT: the first is the nearest to the photo in age, expression
        and hair.""",
        """The same four. With swapped layers smile, hair and shape of the face are the base's; FC-FT and FT
        without them can hardly be told apart, as in [Table I](reproduction.md).""",
        ["figures-ablation.png"],
    ),
    Figure(
        "Fig. 8, how many layers to swap",
        """Swapping between models that were never tuned from each other gives nothing; the more layers are swapped
        the more the output is the source, until it leaves the target domain.""",
        """Rows of three for every style: FC-FT, swapped after tuning, swapped directly between unrelated models,
        which gives noise.""",
        ["reproduction-ui2i.png"],
    ),
    Figure(
        "Fig. 9, inversion",
        "The paper's and StyleGAN2's projection come nearest to the photo, in-domain and Image2StyleGAN less.",
        """Optimisation in W and W+, portraits and encoders over the same photos, and toon3d of each code
        ([inversion.md](inversion.md)).""",
        ["inversion.png"],
    ),
)

AGILEGAN = (
    Figure(
        "Figs 1, 18 and 19, one photo in several styles",
        "Photos of many kinds of people, drawn in cartoon, oil and other styles.",
        """[gallery.md](gallery.md): 24 people who do not exist in each of four styles, drawn by painters that
        learned from the styles.""",
        ["gallery_toon3d.jpg"],
    ),
    Figure(
        "Fig. 2, codes beside the prior",
        "t-SNE of codes in W+: those of the hVAE overlap the prior's, those of other encoders lie apart.",
        "The same plot for our ways of inversion ([inversion.md](inversion.md) has the distances).",
        ["codes.png"],
    ),
    Figure(
        "Fig. 7, evolution over the training",
        """The same latents after ever more iterations: the style grows stronger, and the expression leaves the
        input's; it is stopped after 900 to 2200 steps of 8 images.""",
        """`agilegan` after 400 to 6000 images. With 400 eyes and colours are the style's, and the persons are
        there; by 3000 men have become its women.""",
        ["figures-evolution.png"],
    ),
    Figure(
        "Fig. 8, beside other methods",
        "Toonify, CycleGAN, UNIT and U-GAT-IT beside AgileGAN on the same photos.",
        """The same methods on samples of the base, and AgileGAN without its similarity loss; figures in
        [reproduction.md](reproduction.md).""",
        ["reproduction-agilegan-methods.png"],
    ),
    Figure(
        "Figs 9, 10 and 12, other encoders and ablations",
        """One style by the codes of pSp, of in-domain, of optimisations and of the hVAE without Z+ or without
        variation: green patches, blurred skin and eyes where codes lie off the prior.""",
        """The rows below of Fig. 9 of UI2I above: toon3d of each way's code. Optimised codes of W+ tear the
        drawing; the encoders' are whole.""",
    ),
    Figure(
        "Fig. 11, several samples",
        "Drawings of samples of one photo's posterior: they differ, and one without artefacts can be chosen.",
        """The mean of the posterior and four samples in the bundled toon3d: hair, tint and light differ, faces
        little. The first mean is greenish, and most of its samples are not.""",
        ["figures-posterior.png"],
    ),
    Figure(
        "Fig. 13, expressions and poses",
        "One person with several expressions and poses stays recognisable as a drawing.",
        """Samples of the base, smiling and turned, above their drawings; of real pairs there are figures only
        ([reproduction.md](reproduction.md)).""",
        ["reproduction-agilegan-expressions.png"],
    ),
    Figure(
        "Fig. 14, a path for each attribute",
        "Paths of their own at low resolutions draw women's lashes and men's jaws, at high ones wrinkles.",
        """Single path and two paths, split at low and at high resolutions, for women and men; of elderly drawings
        there are too few to train a path.""",
        ["reproduction-agilegan-paths.png"],
    ),
    Figure(
        "Fig. 15, tuned only or with swapped layers",
        "Toonify and AgileGAN, tuned only and with high layers of the base: swapping trades style for realism.",
        "The sheet of UI2I's Fig. 7: the same trade.",
    ),
    Figure(
        "Fig. 16, editing",
        "Pose and light of a drawing, changed by directions of its generator.",
        """The sheet of UI2I's Fig. 6, second and third block; videos that follow a clip are in
        [animate.md](animate.md).""",
    ),
    Figure(
        "Fig. 17, failures",
        "Glasses vanish, gaze and expression turn into those of the exemplars, hands before a face confuse it.",
        """Styles by code do so too (the third person of the sheets above loses his glasses). Painters, which see
        the photo, keep them: [painter.md](painter.md).""",
    ),
)

CARTOON = (
    Figure(
        "Figs 1 and 4, what is frozen",
        """FreezeD, FreezeG and FreezeSG, with the output of the base's fourth style block: FreezeSG keeps the
        source's structure best.""",
        """The same, and the structure loss with weight 100, each as trained and with the base's features up to 32
        pixels. As trained, FreezeG keeps the men's hair and heads and draws them roughly, the others draw its
        women. After the swap all four are alike, and all are the source. Measures are in
        [reproduction.md](reproduction.md).""",
        ["figures-freezing.png"],
    ),
    Figure(
        "Figs 3, 5 and 7, structure loss and swapped layers",
        "Jaws and heads are more natural with the structure loss than with FreezeD, whichever layers are swapped.",
        """FreezeD and the structure loss with the base's features up to 8, 16 and 32 pixels. Both look alike on
        this small base; the person comes back with every step, and 16 pixels are the best of both.""",
        ["figures-layers.png"],
    ),
    Figure(
        "Fig. 9, edits by words",
        "CLIP moves a cartoon's code by a sentence.",
        "No CLIP can be had here. Plain words for 34 rated attributes move codes instead: [words.md](words.md).",
        ["words.png"],
    ),
)

FEWSHOT = (
    Figure(
        "Figs 4 and 5, beside simple baselines",
        """The basic model draws men, kids and the elderly as women, mixing the groups hardly helps, fine-tuning
        forgets women or is unstable, branches do neither.""",
        """Women, men and kids by every method ([groups.md](groups.md)): basic and mixed draw women, fine-tuning
        forgets them, branches tell the groups apart. None of these short trainings draws a picture worth
        keeping.""",
        ["groups.png"],
    ),
    Figure(
        "Fig. 6, without selective back-propagation",
        "Wrinkles of the elderly appear on women's necks.",
        "The last column but one of the sheet above: no such pattern, a kernel distance that is larger for women.",
    ),
    Figure(
        "Fig. 7, attention",
        "To drawings the translator looks at the whole face, hair and eyes; back, at less of it.",
        "Patches of hair, eyes and mouth both ways; back to the photo they are fewer.",
        ["groups_attention.png"],
    ),
    Figure(
        "Figs 9 to 12, drawings of four groups",
        "Women with long lashes, men, kids with blush, elderly with wrinkles.",
        """Women, men and kids by `toon3d-groups`, 128 pixels: the weight of 1
        ([group_weights_128.md](group_weights_128.md)); the paper's own preset at 64 pixels is in
        [group_weights.md](group_weights.md).""",
        ["group_weights_128.png"],
    ),
)

PAPERS: Mapping[str, Sequence[Figure]] = {
    "UI2I (Huang et al. 2020, arXiv:2010.05713)": UI2I,
    "AgileGAN (Song et al. 2021)": AGILEGAN,
    "Cartoon-StyleGAN (Back 2021, arXiv:2106.12445)": CARTOON,
    "Few-shot groups (Fine-grained Cartoon Face Generation)": FEWSHOT,
}
