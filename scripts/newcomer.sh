#!/usr/bin/env bash
# What a newcomer does on the first day, in a clean environment: install, a portrait, a folder, the page, a style of
# one's own, Python, the site of the documents. Prints what each step took, and the sizes.
#
#   bash scripts/newcomer.sh [FOLDER]        # FOLDER is made; default: a temporary one, removed at the end
#
# PYTHON names the interpreter, TORCH the requirement to install first (for instance torch==2.13.0+cpu).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if [ $# -gt 0 ]; then
    mkdir "$1"
    cd "$1"
else
    cd "$(mktemp -d)"
    trap 'rm -rf "$PWD"' EXIT
fi
home=$PWD
begin=$SECONDS

step() { # what it is, then the command
    local what=$1 start=$SECONDS
    shift
    "$@" > step.log 2>&1 || { cat step.log >&2; echo "FAILED: $what" >&2; exit 1; }
    printf '%-40s %4d s\n' "$what" $((SECONDS - start))
}

install() {
    "$python" -m venv clean
    clean/bin/pip install --disable-pip-version-check --no-compile ${TORCH:-torch}
    clean/bin/pip install --disable-pip-version-check --no-compile "$root[train,web]"
}

pictures() { # people nobody has seen, and drawings to learn from: the base draws the ones, a style the others
    portraitist sample faces --seeds 0-3 -o people
    portraitist sample charcoal --seeds 10-39 -o drawings
    rm -f people/sheet.png drawings/sheet.png
    cp people/seed0000.png me.png
}

portrait() {
    portraitist stylize me.png
    ls me.toon3d.png me.oil.png
}

folder() {
    portraitist stylize people --style toon3d -o out
    test "$(ls out/*.png | wc -l)" -ge 4
}

page() {
    portraitist serve --port 8765 --style toon3d > serve.log 2>&1 &
    local server=$!
    trap 'kill $server 2> /dev/null || true' RETURN
    for _ in $(seq 60); do
        curl --silent --fail http://127.0.0.1:8765/health && break
        sleep 1
    done
    curl --silent --show-error --fail http://127.0.0.1:8765/ | grep -q "<html"
    kill -INT $server
    wait $server || true
    trap - RETURN # it would hold for the functions after this one too
}

style() {
    portraitist train drawings --recipe freeze_fc -o runs/mine --name mine --images 200 --set tick=100
    test -s runs/mine/report.html
    portraitist stylize me.png --style runs/mine -o mine
}

in_python() {
    python - << 'END'
from portraitist import Stylizer

portraits = Stylizer.load(["toon3d"]).stylize("me.png")
assert portraits.faces[0].pictures["toon3d"].shape == (256, 256, 3)
END
}

documents() {
    pip install --disable-pip-version-check --no-compile "$root[docs]"
    (cd "$root" && python -m manual -o "$home/site")
    test -s site/index.html
}

step "install" install
export PATH="$home/clean/bin:$PATH" PYTHONNOUSERSITE=1
step "pictures to begin with" pictures
step "a portrait in the styles of faces" portrait
step "a folder" folder
step "the page" page
step "a style of one's own" style
step "Python" in_python
size=$(du -sm clean | cut -f1)
step "the site of the documents" documents
printf '%-40s %4d s\n' "in all" $((SECONDS - begin))
printf '%-40s %4d MB\n' "the environment" "$size"
printf '%-40s %4d MB\n' "of it PyTorch and what it brings" \
    "$(cd clean/lib/python*/site-packages && du -scm torch nvidia* triton sympy networkx 2> /dev/null | tail -1 | cut -f1)"
