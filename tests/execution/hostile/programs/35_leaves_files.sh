for place in /work /tmp /dev/shm; do
    ls -A $place | grep hostile
    echo left >$place/hostile-left
done
echo end
