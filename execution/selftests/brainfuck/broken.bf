Never closed
++[.
