for place in / /etc /usr /usr/bin /opt/codecrafter /var /home /root /run /sys /proc /dev; do
    (echo x >"$place/hostile-file") 2>/dev/null && echo "wrote into $place"
    ln -s /tmp "$place/hostile-link" 2>/dev/null && echo "linked in $place"
done
echo end
