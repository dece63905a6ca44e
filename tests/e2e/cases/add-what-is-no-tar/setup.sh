echo text | gzip -n > text.gz; : > empty.tar; cd d; tar -cf inner.tar x
