# The same for a compiler that runs a shell.
{
    echo "uid $UID"
    for path in /etc/shadow /root /home /proc/1/environ /proc/1/mem /var/run/docker.sock; do
        if [ -d "$path" ]; then content=$(ls -A "$path" 2>/dev/null); else content=$(head -c 64 "$path" 2>/dev/null | tr -d '\0'); fi
        [ -z "$content" ] || echo "$path $content"
    done
    for place in /usr/bin /etc /opt/codecrafter /; do
        (: > "$place/hostile-file") 2>/dev/null && echo "wrote into $place"
    done
    for address in 1.1.1.1/53 169.254.169.254/80 172.17.0.1/22; do
        (: > "/dev/tcp/$address") 2>/dev/null && echo "reached $address"
    done
} > .build/report
setsid sleep 1000 &
exit 0
