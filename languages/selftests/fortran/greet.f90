program main
  implicit none
  character(len=80) :: name

  read "(a)", name
  print "(3a)", "Hello, ", trim(name), "!"
end program main
