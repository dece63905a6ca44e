chmod 755 a; chmod 700 d/s
