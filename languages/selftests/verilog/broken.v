module main;
  initial begin
    number = 1;
  end
endmodule
