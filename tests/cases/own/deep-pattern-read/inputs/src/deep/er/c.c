int c = 10;
