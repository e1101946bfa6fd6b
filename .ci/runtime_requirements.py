"""Print what the package and its extras need at run time, one requirement a line, for pip."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
print(
    "\n".join(
        dict.fromkeys([*project["dependencies"], *(one for extra in extras for one in extra)])
    )
)
