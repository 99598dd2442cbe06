sleep 1000 &
echo parent ends
