"""Measure data/shelf_audit.json, what pages of notebook 06 copy from the shelf that the model read.

python -m tools.shelf_audit  takes minutes, after  python -m helpers.corpora shelf. The pages are
written by the notebook's own cells.
"""

import json

from helpers import DATA, MODELS
from helpers.audit import CopyAudit
from helpers.corpora import load_corpus
from helpers.storage import replacing, sha256
from tools.shipped import provenance
from tools.transfer import defined_by_cells

NOTEBOOK, NAMES = "06_write_new_pages.ipynb", ("pages", "unseen")


def audit(groups, source):
    """Return {name: share of the stretches of some pages in a source, and the longest copy}."""
    asked = CopyAudit(source, pages=[page for pages in groups.values() for page in pages])
    found = {}
    for name, pages in groups.items():
        found[name] = {
            "share": round(sum(map(asked.share, pages)) / len(pages), 4),
            "longest": max((asked.longest(page) for page in pages), key=len),
        }
        print(name, found[name], flush=True)
    return found


def main():
    """Audit the pages of each temperature, and pages of *Dracula* that no model has seen."""
    lesson = defined_by_cells(NOTEBOOK, NAMES)
    groups = {str(T): pages for T, pages in lesson["pages"].items()} | {"unseen": lesson["unseen"]}
    shelf = load_corpus("shelf")
    about = provenance("python -m tools.shelf_audit") | {
        "model_sha256": sha256((MODELS / "dracula" / "model.npz").read_bytes()),
        "shelf_sha256": sha256(shelf),
    }
    table = {"pages": audit(groups, shelf), "provenance": about}
    with replacing(DATA / "shelf_audit.json") as temporary:
        text = json.dumps(table, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
