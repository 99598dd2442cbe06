program main
  implicit none
  print *, missing
end program main
