chmod 750 d/s
