"""``portraitist encoder``, and encoders in `stylize`, `invert` and `evaluate inversion`."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist import Stylizer
from portraitist.data import write_image
from portraitist.io import registry
from portraitist.io.codes import load_codes
from portraitist.io.encoder_files import load_encoder, save_encoder
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.networks import Generator, GeneratorAnatomy
from portraitist.runs.source import grown
from portraitist.stylize import ByEncoder
from tests.cli.conftest import Run
from tests.conftest import make_model, smooth_pictures
from tests.io.encoder_makers import HEAD, write_encoder
from tests.stylize.tiny_encoders import make_encoder


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    """The tiny base, its style and its encoder as models with names."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add_encoder(make_encoder(tiny_model))


@pytest.fixture
def face(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return write_image(tmp_path / "photos" / "me.png", picture)


@pytest.fixture
def papers(models_folder: Path, tmp_path: Path) -> Model:
    """A base with a name whose codes are as long as those of the papers' encoders in miniature."""
    model = make_model(seed=1, name="big", resolution=32)
    torch.manual_seed(0)
    generator = Generator(GeneratorAnatomy(32, (8, 8, 8, 8), HEAD, HEAD, 2)).eval()
    base = Model(generator, model.discriminator, model.header)
    registry.add(save_model(tmp_path / "big.safetensors", base))
    return base


def pictures(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def test_list_shows_encoders_and_models_shows_none(run: Run, known: None, tiny_model: Model) -> None:
    code, lines, _ = run("encoder", "list")
    assert code == 0 and len(lines) == 3
    digest = registry.file_sha256(registry.find_encoder("hvae"))[:12]
    assert lines[0].split() == ["hvae", "hvae", "of", "tiny", "user", "CC0-1.0", digest]
    (entry,) = json.loads(run("encoder", "list", "--json")[1][-1])["encoders"]
    assert (entry["name"], entry["where"], entry["header"]["encoder"]["kind"]) == ("hvae", "user", "hvae")
    assert entry["header"]["base_digest"] == generator_digest(tiny_model)
    code, lines, errors = run("models")
    assert (code, errors) == (0, "") and [line.split()[0] for line in lines[:-2]] == ["tiny", "wild"]
    assert [e["name"] for e in json.loads(run("models", "--json")[1][-1])["models"]] == ["tiny", "wild"]


def test_models_show_tells_of_encoders_too(run: Run, known: None) -> None:
    for name in ("hvae", registry.find_encoder("hvae")):
        code, lines, _ = run("models", "show", name)
        assert code == 0 and json.loads("\n".join(lines))["encoder"]["kind"] == "hvae"
    code, lines, _ = run("models", "show", "hvae", "--card")
    assert code == 0 and "# hvae" in lines and "pipeline_tag: image-feature-extraction" in lines
    code, _, errors = run("models", "show", "nothing")
    assert code == 2 and "There is no model 'nothing'" in errors


@pytest.mark.parametrize(("program", "kind"), [("psp", "w+"), ("e4e", "w+"), ("agilegan", "hvae")])
def test_import_reads_the_files_of_others(
    run: Run, papers: Model, tmp_path: Path, models_folder: Path, program: str, kind: str
) -> None:
    write_encoder(tmp_path / "encoder.pt", program)
    target = models_folder / "theirs.safetensors"
    words = ("encoder", "import", tmp_path / "encoder.pt", "--base", "big", "--name", "theirs", "--licence", "MIT")
    assert run(*words)[:2] == (0, [f"theirs: {target}"])
    header = load_encoder(target, base=papers).header
    assert (header.encoder.kind, header.name, header.licence, header.base_name) == (kind, "theirs", "MIT", "big")
    assert header.lineage[0]["converted"]["format"] == program
    found = registry.load_encoder_of(papers)
    assert found is not None and found.header == header
    assert run(*words)[0] == 2 and run(*words, "--overwrite")[0] == 0


def test_an_import_without_a_base_waits_to_be_named(
    run: Run, papers: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_encoder(tmp_path / "hers.pt", "agilegan")
    with caplog.at_level(logging.WARNING):
        assert run("encoder", "import", tmp_path / "hers.pt")[0] == 0
    assert "'hers' names no base" in caplog.text and "names no licence" in caplog.text
    assert "of an unknown base" in run("encoder", "list")[1][0]
    assert registry.load_encoder_of(papers) is None and registry.load_encoder_of(papers, "hers") is not None


def test_import_and_models_add_take_our_own_files(
    run: Run, known: None, tmp_path: Path, tiny_model: Model, models_folder: Path
) -> None:
    file = save_encoder(tmp_path / "run" / "encoder.safetensors", make_encoder(tiny_model, "mine", seed=1), half=True)
    assert run("encoder", "import", file.parent)[:2] == (0, [f"mine: {models_folder / 'mine.safetensors'}"])
    assert (models_folder / "mine.safetensors").read_bytes() == file.read_bytes()
    assert run("models", "add", file, "--name", "second")[0] == 0
    assert run("encoder", "import", file, "--base", "tiny", "--name", "third")[0] == 0
    assert [e.name for e in registry.encoders()] == ["hvae", "mine", "second", "third"]
    for words, message in (
        (("--base", "wild"), "'wild' is a style, not a base. Give its base, 'tiny'."),
        (("--base", "nobody"), "no model 'nobody'"),
        (("--name", "a b"), "--name"),
    ):
        code, out, errors = run("encoder", "import", file, *words)
        assert code == 2 and out == [] and message in errors
    assert run("encoder", "import", tmp_path / "missing.pt")[0] == 2
    (tmp_path / "x.pt").write_bytes(b"no encoder at all")
    assert run("encoder", "import", tmp_path / "x.pt")[0] == 3


def test_stylize_takes_the_encoder_and_the_optimisation_where_it_is_asked_for(
    run: Run, known: None, face: Path, tmp_path: Path
) -> None:
    drawn = {}
    for way, words in {
        "default": (),
        "encoder": ("--method", "encoder"),
        "named": ("--encoder", "hvae"),
        "refined": ("--refine", 3),
        "in-domain": ("--method", "in-domain", "--steps", 2),
        "portrait": ("--method", "portrait", "--steps", 2),
        "steps": ("--steps", 2),
    }.items():
        code, out, errors = run("stylize", face, "--aligned", "-o", tmp_path / way, *words)
        assert code == 0, errors
        assert out == [str(tmp_path / way / "me.wild.png")]
        drawn[way] = (tmp_path / way / "me.wild.png").read_bytes()
    picture = Stylizer.load(["wild"]).stylize(face, aligned=True).faces[0].pictures["wild"]
    assert drawn["default"] == write_image(tmp_path / "api.png", picture).read_bytes()
    assert drawn["default"] == drawn["encoder"] == drawn["named"] and drawn["portrait"] == drawn["steps"]
    assert len(set(drawn.values())) == 4


def test_stylize_writes_samples_or_the_best(run: Run, known: None, face: Path, tmp_path: Path) -> None:
    words = ("stylize", face, "--aligned", "--samples", 2)
    code, out, _ = run(*words, "--seed", 5)
    assert code == 0 and [Path(p).name for p in out] == ["me.wild.png", "me.wild.sample1.png", "me.wild.sample2.png"]
    found = Stylizer.load(["wild"], inversion=ByEncoder(samples=2), seed=5).stylize(face, aligned=True).faces[0]
    for k, picture in enumerate([found.pictures["wild"], *(s.pictures["wild"] for s in found.samples)]):
        assert Path(out[k]).read_bytes() == write_image(tmp_path / "api.png", picture).read_bytes()
    assert run(*words)[0] == 2  # they exist
    assert len(run(*words, "--seed", 5, "-o", tmp_path / "best", "--best")[1]) == 1
    assert [*pictures(tmp_path / "best")] == ["me.wild.png"]
    assert pictures(tmp_path / "best")["me.wild.png"] in pictures(face.parent).values()
    assert run("stylize", face, "--aligned", "--best", "-o", tmp_path / "eight")[0] == 0
    medoid = Stylizer.load(["wild"], inversion=ByEncoder(best="medoid", samples=8)).stylize(face, aligned=True)
    again = write_image(tmp_path / "api.png", medoid.faces[0].pictures["wild"]).read_bytes()
    assert pictures(tmp_path / "eight")["me.wild.png"] == again


def test_stylize_a_folder_of_samples(run: Run, known: None, face: Path, tmp_path: Path) -> None:
    (face.parent / "zz.jpg").write_bytes(b"\xff\xd8\xff no")
    out = tmp_path / "out"
    words = ("stylize", face.parent, "-o", out, "--aligned", "--samples", 1)
    for count in ("1 done, 0 skipped, 1 failed", "0 done, 1 skipped, 1 failed"):
        code, lines, _ = run(*words)
        assert code == 3 and count in lines[0]
    assert [*pictures(out)] == ["me.wild.png", "me.wild.sample1.png"]
    (out / "me.wild.sample1.png").unlink()
    assert "1 done, 0 skipped" in run(*words)[1][0]
    assert "1 done, 0 skipped" in run(*words, "--overwrite")[1][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "encoder", "--steps", 3), "--steps belongs to an optimisation, not to the encoder. Use --refine"),
        (
            ("--steps", 3, "--refine", 2),
            "--refine belongs to an encoder, and the method is portrait, because of --steps.",
        ),
        (("--method", "portrait", "--samples", 2), "--samples belongs to an encoder, and the method is portrait."),
        (("--method", "ui2i", "--encoder", "hvae"), "--encoder belongs to an encoder, and the method is ui2i."),
        (("--method", "in-domain", "--best"), "--best belongs to an encoder, and the method is in-domain."),
        (("--samples", 2, "--refine", 2), "cannot be refined"),
        (("--best", "--samples", 1), "at least 2 samples"),
        (("--encoder", "nobody"), "no encoder 'nobody'"),
        (("--encoder", "psp", "--samples", 2), "'psp' is deterministic"),
        (("--encoder", "psp", "--best"), "'psp' is deterministic"),
    ],
)
def test_stylize_refuses_options_that_contradict_each_other(
    run: Run, known: None, face: Path, tiny_model: Model, words: tuple[object, ...], message: str
) -> None:
    registry.add_encoder(make_encoder(tiny_model, "psp", "w+"))
    code, out, errors = run("stylize", face, "--aligned", *words)
    assert code == 2 and out == [] and message in errors, errors
    assert list(face.parent.iterdir()) == [face]


def test_where_no_encoder_is_known_the_optimisation_draws(
    run: Run, known: None, face: Path, tmp_path: Path, models_folder: Path
) -> None:
    (models_folder / "hvae.safetensors").rename(tmp_path / "hvae.safetensors")
    for words in (("--method", "encoder"), ("--refine", 2), ("--best",), ("--method", "in-domain")):
        code, _, errors = run("stylize", face, "--aligned", *words)
        assert code == 2 and "No encoder of 'tiny' is known. Name one with --encoder" in errors
    assert run("stylize", face, "--aligned", "--encoder", tmp_path / "hvae.safetensors")[0] == 0


def test_invert_by_the_encoder(run: Run, known: None, face: Path, tmp_path: Path) -> None:
    codes = {}
    for way, words in {
        "default": (),
        "encoder": ("--method", "encoder", "--encoder", "hvae"),
        "refined": ("--refine", 2),
        "in-domain": ("--method", "in-domain", "--steps", 2),
        "portrait": ("--method", "portrait", "--steps", 2),
        "w": ("--space", "w", "--steps", 2),
    }.items():
        code, out, errors = run("invert", face, "--base", "tiny", "--aligned", "-o", tmp_path / way, *words)
        assert code == 0 and len(out) == 2, errors
        codes[way] = load_codes(tmp_path / way / "me.code.safetensors")[0].data
    stylizer = Stylizer(registry.load("tiny"), {})
    assert torch.equal(codes["default"], stylizer.stylize(face, aligned=True).faces[0].code.data)
    assert torch.equal(codes["default"], codes["encoder"])
    assert len({float(code.sum()) for code in codes.values()}) == 5
    code, _, errors = run("invert", face, "--base", "tiny", "--aligned", "--refine", 2, "--rank", 3)
    assert code == 2 and "because of --rank" in errors


def test_evaluate_compares_encoders(run: Run, known: None, face: Path, tmp_path: Path, tiny_model: Model) -> None:
    write_image(face.with_name("you.png"), np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    fixed = ("evaluate", "inversion", face.parent, "--base", "tiny", "--aligned", "--prior-codes", 12, "--steps", 2)

    def results(out: str, *words: object) -> dict[str, int]:
        code, _, errors = run(*fixed, "-o", tmp_path / out, *words)
        assert code == 0, errors
        report = json.loads((tmp_path / out / "inversion.json").read_text())
        assert list(report["settings"]["methods"]) == list(report["results"])[1:]
        return {name: result["steps"] for name, result in report["results"].items() if name != "mean face"}

    assert results("default") == {"encoder": 1}
    methods = ("-m", "encoder", "-m", "encoder+3", "-m", "in-domain", "-m", "portrait")
    assert results("known", *methods) == {"encoder": 1, "encoder+3": 3, "in-domain": 2, "portrait": 2}
    run_folder = tmp_path / "runs" / "psp"
    save_encoder(run_folder / "encoder.safetensors", make_encoder(tiny_model, "x", "w+"))
    both = ("--encoder", "hvae", "--encoder", run_folder)
    assert results("both", *both) == {"hvae": 1, "psp": 1}
    assert list(results("all", *methods, *both)) == [
        *("hvae", "psp", "hvae+3", "psp+3", "in-domain hvae", "in-domain psp", "portrait")
    ]
    digest = make_encoder(tiny_model).digest
    report = json.loads((tmp_path / "all" / "inversion.json").read_text())["settings"]["methods"]
    assert report["hvae"]["encoder_digest"] == report["in-domain hvae"]["encoder_digest"] == digest
    assert report["hvae+3"]["steps"] == 3
    for words, message in (
        (("-m", "encoder+0"), "Unknown method 'encoder+0'"),
        (("-m", "encoder+x"), "Unknown method 'encoder+x'"),
        (("-m", "portrait", "--encoder", "hvae"), "--encoder has no part in portrait"),
        (("--encoder", "hvae", "--encoder", "hvae"), "Two encoders are called 'hvae'"),
        (("--encoder", "nobody"), "no encoder 'nobody'"),
    ):
        code, _, errors = run(*fixed, "-o", tmp_path / "no", *words)
        assert code == 2 and message in errors, errors


def test_train_import_and_stylize(run: Run, known: None, face: Path, tmp_path: Path, tiny_model: Model) -> None:
    random = np.random.default_rng(1)
    for k in range(20):
        write_image(tmp_path / "set" / f"{k:02d}.png", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))
    base = tiny_model.header.name
    out = tmp_path / "run"
    words = ["encoder", "train", tmp_path / "set", "-o", out, "--base", base, "--widths", "8,8,8,8,8", "--units"]
    words += ["1,1,1,1", "--images", 8, "--name", "mine", "--set", "batch=4", "--set", "held_out=0.4"]
    code, lines, error = run(*words, "--dry-run")
    assert code == 0 and "20 images, 0 left out" in lines and not out.exists(), error
    assert json.loads("\n".join(lines[:-1]))["encoder"]["widths"] == [8] * 5
    code, lines, error = run(*words)
    assert code == 0 and lines == [str(out / "encoder.safetensors")], error
    stored = load_encoder(out / "encoder.safetensors", base=tiny_model)
    assert stored.encoder.anatomy.kind == "hvae" and stored.header.training["batch"] == 4
    code, _, error = run(*words, "--set", "kl_weight=1")
    assert code == 2 and "kl_weight: 0.0005 -> 1.0" in error
    assert run("encoder", "import", out)[0] == 0
    code, _, error = run("stylize", face, "--aligned", "--encoder", "mine", "-o", tmp_path / "drawn")
    assert code == 0 and len(pictures(tmp_path / "drawn")) == 1, error


@pytest.mark.parametrize(
    ("words", "kind", "kl_weight"),
    [
        ([], "hvae", 5e-4),
        (["--preset", "psp"], "w+", 0),
        (["--preset", "psp", "--kind", "z+"], "z+", 0),
        (["--kind", "w+"], "w+", 5e-4),
    ],
)
def test_a_preset_trains_the_encoder_that_it_is_called(
    run: Run, known: None, tmp_path: Path, tiny_model: Model, words: list[str], kind: str, kl_weight: float
) -> None:
    smooth_pictures(tmp_path / "photos")
    base = tiny_model.header.name
    code, lines, error = run(
        "encoder", "train", tmp_path / "photos", "-o", tmp_path / "r", "--base", base, "--dry-run", *words
    )
    assert code == 0, error
    told = json.loads("\n".join(lines[:-1]))
    assert (told["encoder"]["kind"], told["kl_weight"]) == (kind, kl_weight)


@pytest.mark.parametrize(
    ("words", "said", "expected"),
    [
        (["--kind", "wrong"], "kind 'wrong'", 2),
        (["--preset", "wrong"], "preset 'wrong'", 2),
        (["--size", "wrong"], "size 'wrong'", 2),
        (["--units", "1,x"], "does not list numbers", 2),
        (["--units", "1,1"], "stages", 3),
        (["--set", "kl_wait=1"], "kl_wait", 2),
        (["--identity", "no.pt", "--set", "identity_weight=0"], "identity_weight is 0", 2),
        (["--features", "no.pth", "--set", "perceptual_weight=0"], "perceptual_weight is 0", 2),
    ],
)
def test_train_refuses_what_cannot_be(
    run: Run, known: None, tmp_path: Path, tiny_model: Model, words: list[str], said: str, expected: int
) -> None:
    code, lines, error = run(
        "encoder", "train", tmp_path, "-o", tmp_path / "r", "--base", tiny_model.header.name, *words
    )
    assert code == expected and said in error and lines == [] and not (tmp_path / "r").exists()


def test_an_encoder_trains_in_mixed_precision(run: Run, known: None, tmp_path: Path) -> None:
    registry.add(save_model(tmp_path / "side32.safetensors", make_model(name="side32", resolution=32)))
    random = np.random.default_rng(1)
    for k in range(20):
        write_image(tmp_path / "set" / f"{k:02d}.png", random.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    words = ["encoder", "train", tmp_path / "set", "-o", tmp_path / "run", "--base", "side32", "--images", 4]
    words += ["--widths", "8,8,8,8,8", "--units", "1,1,1,1", "--set", "batch=2", "--set", "held_out=0.4", "--precision"]
    code, _, error = run(*words, "half")
    assert code == 2 and "precision 'half'" in error
    code, lines, error = run(*words, "bf16")
    assert code == 0 and lines == [str(tmp_path / "run" / "encoder.safetensors")], error
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["precision"] == "bf16"


def test_an_encoder_grows_with_its_base(run: Run, known: None, tmp_path: Path, tiny_model: Model, face: Path) -> None:
    generator, discriminator = grown(tiny_model, 32).networks(0)
    base = Model(generator.eval(), discriminator, replace(tiny_model.header, generator=generator.anatomy, name="large"))
    large = save_model(tmp_path / "large.safetensors", base)
    name = registry.encoders()[0].name
    words = ("encoder", "grow", name, "--base", large, "-o", tmp_path / "e.safetensors", "--name", "large-hvae")
    code, out, err = run(*words)
    assert code == 0 and out == [str(tmp_path / "e.safetensors")], err
    assert load_encoder(tmp_path / "e.safetensors", base=base).header.name == "large-hvae"
    code, _, err = run("invert", face, "--aligned", "--base", large, "--encoder", tmp_path / "e.safetensors")
    assert code == 0, err
    codes, _ = load_codes(face.with_name("me.code.safetensors"))
    assert codes.data.shape[1] == base.generator.anatomy.rows and torch.equal(codes.data[:, -1], codes.data[:, -2])
    code, _, err = run(*words)
    assert code == 2 and "exists already" in err
    code, _, err = run(*words, "--half", "--overwrite")
    assert code == 0, err
    stored = load_encoder(tmp_path / "e.safetensors", base=base)
    assert stored.header.description == f"photos to codes of large: {name}, grown with the base"
    foreign = save_encoder(tmp_path / "f.safetensors", replace(stored, header=replace(stored.header, base_digest="")))
    code, _, err = run("encoder", "grow", foreign, *words[3:-2])
    assert code == 2 and "does not say which base" in err and "encoder import" in err
