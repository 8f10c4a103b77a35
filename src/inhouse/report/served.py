"""A study's page for whoever shows it elsewhere (the gateway's pages): from the store's URL to HTML.

Light to import: what lays out and draws is loaded by the call, which is made in a process of its own.
"""

from __future__ import annotations


def study_page(store_url: str, study_id: str, lang: str, theme: str = "") -> str:
    """The report of a study as one HTML page without scripts; `theme`: light or dark, else the system's.

    Raises:
        RunNotFound: there is no run of that id.
        UsageError: the run is no study.
    """
    from inhouse.report.document import gather
    from inhouse.report.html import render_html
    from inhouse.store.repository import Store

    with Store(store_url) as store:
        return render_html(gather(store, study_id), lang, theme)
