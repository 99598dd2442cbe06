program Three;

begin
  Halt(3);
end.
