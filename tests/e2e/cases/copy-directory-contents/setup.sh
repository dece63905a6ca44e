chmod 2770 d; chmod 711 d/s; mkdir -p d/empty
