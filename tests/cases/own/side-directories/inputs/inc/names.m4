define(`NAME', `Ada')dnl
