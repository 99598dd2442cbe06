for path in /proc/1/environ /proc/1/maps /proc/kcore /proc/kmsg /proc/1/fd/0 /dev/mem /dev/kmsg /proc/1/root/etc/passwd; do
    if [ -n "$(head -c 64 "$path" 2>/dev/null | tr -d '\0')" ]; then echo "read $path"; fi
done
for path in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/1/oom_score_adj /sys/fs/cgroup/*/pids.max /sys/fs/cgroup/pids.max; do
    if (exec 3>"$path") 2>/dev/null; then echo "opened for writing $path"; fi
done
echo end
