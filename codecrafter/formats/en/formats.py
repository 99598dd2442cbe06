"""How times are written where a page does not say: sortable, to the second, and short enough for a list."""

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s"
