"""How much of a page is copied (built in notebook 06)."""


class CopyAudit:
    r"""Find what a page shares, word for word, with the text that its writer learned from.

    Line breaks count as spaces.

    Parameters
    ----------
    source : str
    span : int
        Length of the stretches that `share` looks up. The default, 20, is about four words.
    pages : list of str, optional
        The pages that will be asked for. Then only their stretches are kept, not all those of the
        source: ten million would not fit into the memory of a small machine.

    Examples
    --------
    >>> audit = CopyAudit("I am all in a sea of wonders. I doubt; I fear.", span=10)
    >>> audit.longest("We were in a sea of\ntroubles.")
    ' in a sea of '
    >>> audit.share("in a sea of troubles")
    0.2727272727272727
    """

    def __init__(self, source, span=20, pages=None):
        self.source, self.span = self._one_line(source), span
        self._asked = None
        if pages is None:
            self._spans = set(self._stretches(self.source))
        else:
            self._asked = {s for page in pages for s in self._stretches(self._one_line(page))}
            self._spans = {s for s in self._stretches(self.source) if s in self._asked}

    @staticmethod
    def _one_line(text):
        return " ".join(text.split())

    def _stretches(self, text):
        return (text[i : i + self.span] for i in range(len(text) - self.span + 1))

    def _copied(self, text):
        if self._asked is not None and not self._asked.issuperset(self._stretches(text)):
            raise ValueError("This page is not one of those that the audit was made for.")
        return [stretch in self._spans for stretch in self._stretches(text)]

    def share(self, text):
        """Return the share, 0 to 1, of the stretches of `text` that occur in the source.

        Raises
        ------
        ValueError
            If the text is shorter than one stretch, or not one of the `pages` asked for.
        """
        copied = self._copied(text := self._one_line(text))
        if not copied:
            raise ValueError(f"A text of {len(text)} characters has no span of {self.span}.")
        return sum(copied) / len(copied)

    def longest(self, text):
        """Return the longest passage of `text` that occurs in the source, the first of equals."""
        text, best = self._one_line(text), ""
        # A long passage begins with a copied stretch; without one, it may begin anywhere.
        starts = [i for i, copied in enumerate(self._copied(text)) if copied] or range(len(text))
        for i in starts:
            while i + len(best) < len(text) and text[i : i + len(best) + 1] in self.source:
                best = text[i : i + len(best) + 1]
        return best
