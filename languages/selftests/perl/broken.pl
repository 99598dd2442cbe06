use strict;
print $missing;
