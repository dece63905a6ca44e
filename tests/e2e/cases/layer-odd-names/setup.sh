mkdir names; cd names; touch -- ' leading' 'trailing ' 'a b' 'grün' '日本語' '😀' '-dash' '#hash' 'back\slash' 'per%cent' '$dollar'
python3 -c "import os; [open(n, 'w').close() for n in (b'latin-\xe9', b'bad-\xff\xfe', b'ctrl-\x01', b'e\xcc\x81')]"
