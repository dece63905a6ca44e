mkdir t; echo f > t/f; chown 7:8 t/f; tar --numeric-owner -C t -cf plain.tar .; rm -r t; zstd -q --rm plain.tar
