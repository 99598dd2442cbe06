program Broken;

begin
  WriteLn(Missing);
end.
