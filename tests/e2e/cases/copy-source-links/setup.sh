ln -s a l; ln -s d dl; ln -s nowhere ld_dangling; mv ld_dangling d/dangling; ln -s /a d/absolute; ln -s ../../../a d/up
