<?php
echo "before"
echo "after";
