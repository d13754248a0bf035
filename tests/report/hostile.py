"""A folder of scenes with files that cannot be read, and names and captions that attack a page."""

from pathlib import Path

from dinoclip_viz import playground

HOSTILE = '"><img src=x onerror=alert(1)>.png'
SCRIPT = "<script>alert(1)<!--.png"
CAPTION = "<img src=x onerror=alert(2)> {{ 7 * 7 }} </style></script>"
LABELS = ("cat", "dog", "<b>tree</b>")
PROMPTS = ("a cat", '"><svg onload=alert(1)>')
BROKEN = ("cut.png", "empty.jpg", "text<u>.png")


def write_hostile(folder: Path) -> Path:
    """Ten images that can be read, and `BROKEN`."""
    folder.mkdir(parents=True)
    for number, scene in enumerate(playground.draw(2500, 8, 96)):
        scene.image.save(folder / f"{number}.png")
    for number, name in enumerate((HOSTILE, SCRIPT)):
        playground.draw(2600 + number, 1, 96)[0].image.save(folder / name, "PNG")
    (folder / "0.txt").write_text(CAPTION, encoding="utf-8")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text<u>.png").write_text("no image", encoding="utf-8")
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:200])
    return folder
