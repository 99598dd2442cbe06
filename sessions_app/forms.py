"""The forms of the session pages."""

from __future__ import annotations

from django import forms

from sessions_app.limits import REPORT_MAX_CHARACTERS


class ReportForm(forms.Form):
    reason = forms.CharField(max_length=REPORT_MAX_CHARACTERS, widget=forms.Textarea(attrs={"rows": 5}))
