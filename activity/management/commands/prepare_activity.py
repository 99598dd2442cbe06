"""manage.py prepare_activity: create the collection's indexes before the first entry. Run it at every deployment."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from activity.errors import ActivityOffline
from activity.log import store


class Command(BaseCommand):
    help = "Create the indexes of the activity log, including the one that expires entries. Safe to repeat."

    def handle(self, *args: object, **options: object) -> None:
        try:
            store().prepare()
        except ActivityOffline as error:
            raise CommandError(
                f"The activity log's store does not answer ({error}). Check MONGODB_URL; "
                "CodeCrafter works without it and prepares it once it answers."
            ) from error
        self.stdout.write("The activity log is ready.")
