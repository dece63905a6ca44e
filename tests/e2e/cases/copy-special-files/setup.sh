mkfifo -m 604 fifo; mknod -m 640 null c 1 3; mknod -m 660 loop b 7 200
