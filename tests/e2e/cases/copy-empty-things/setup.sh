mkdir empty; : > nothing
