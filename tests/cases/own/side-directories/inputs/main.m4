include(`names.m4')include(`deep/more.m4')NAME and MORE
