null | halt_error(3)
