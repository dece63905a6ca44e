echo s > setuid; chmod 4755 setuid; echo g > setgid; chmod 2755 setgid; mkdir sticky setgid.d; chmod 1777 sticky
chmod 2755 setgid.d; echo n > none; chmod 000 none; echo w > world; chmod 666 world; chown 12:34 world
touch -d '1999-12-31 23:59:59' a; touch -d '1970-01-01 00:00:01' b; touch -d '2014-07-08 09:10:11.123456789' d/x
touch -h -d '2003-03-03' world; ln -s a link; touch -h -d '2004-04-04 04:04:04' link
