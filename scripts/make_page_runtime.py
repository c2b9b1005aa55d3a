"""Make the file with what runs networks on the offline page, from the npm package onnxruntime-web.

    npm pack onnxruntime-web@1.30.0 && tar xzf onnxruntime-web-1.30.0.tgz
    python scripts/make_page_runtime.py package/

It holds the processor's build alone (WebAssembly with vector instructions), three files of 139 MB. The licence and the
notices are those of the Python package onnxruntime, which npm's lacks.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZIP_LZMA, ZipFile, ZipInfo

FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
NOTICES = ("LICENSE", "ThirdPartyNotices.txt")


def main(package: Path) -> None:
    version = json.loads((package / "package.json").read_text())["version"]
    contents = {name: (package / "dist" / name).read_bytes() for name in FILES}
    for name in NOTICES:
        contents[name] = Path(str(distribution("onnxruntime").locate_file(f"onnxruntime/{name}"))).read_bytes()
    target = Path(__file__).parents[1] / "src" / "portraitist" / "export" / f"onnxruntime-web-{version}.zip"
    with ZipFile(target, "w") as file:
        for name, content in contents.items():
            file.writestr(ZipInfo(name), content, compress_type=ZIP_LZMA)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB of {sum(map(len, contents.values())) / 1e6:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
