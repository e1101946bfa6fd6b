"""Zero-trust access to names, compatible with Firezone's protocols.

The Rust core is `firezone._core`; `firezone.nat` is the scripting API over it. Importing this
package loads neither.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
