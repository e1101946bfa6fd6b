"""The page for operators: HTML from the server, one style sheet, no script.

add_page(app)   gives an application the page at `/`

attempts   how often somebody may try a password
sign_in    who somebody is, and that a form is theirs
views      what is shown, and what forms do
"""

from __future__ import annotations

from .views import add_page

__all__ = ["add_page"]
