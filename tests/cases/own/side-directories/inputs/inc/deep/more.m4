define(`MORE', `Grace')dnl
