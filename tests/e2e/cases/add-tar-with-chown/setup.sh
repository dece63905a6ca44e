mkdir t; echo f > t/f; chown 7:8 t/f; chmod 640 t/f; tar --numeric-owner -C t -cf plain.tar f; rm -r t
