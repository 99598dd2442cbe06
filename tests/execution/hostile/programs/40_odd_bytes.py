import os
import time

# A character of three bytes in two writes, then what is not UTF-8 at all, then what would move a terminal.
os.write(1, b"\xef\xbb\xbf\xe2")
time.sleep(0.05)
os.write(1, b"\x82\xac\r\n\xff\xfe\xed\xa0\x80\xc3(")
os.write(1, b"\x1b[2J\x1b]0;title\x07\x1b]8;;http://example.org\x07\x08\n")
