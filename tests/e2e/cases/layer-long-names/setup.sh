n=$(printf '%0100d' 0); mkdir -p names/$n/$n/$n; echo deep > names/$n/$n/$n/file; echo 255 > names/$(printf '%0255d' 5)
echo 100 > names/$(printf '%0100d' 1); echo 99 > names/$(printf '%099d' 1); ln -s $n/$n/$n/file names/$n/target
ln names/$n/$n/$n/file names/$n/$n/hard
