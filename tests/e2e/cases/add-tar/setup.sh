mkdir t t/d; echo f > t/f; ln t/f t/hard; ln -s f t/soft; mkfifo t/fifo; mknod t/zero c 1 5
chown -h 77:88 t/f t/d t/soft; chmod 4711 t/f; chmod 1750 t/d; touch -d 2005-05-05 t/f
tar --numeric-owner -C t -cf plain.tar .; rm -r t
gzip -nk plain.tar; bzip2 -k plain.tar; xz -k plain.tar; cp plain.tar misnamed.txt
