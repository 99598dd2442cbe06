module main;
  integer file, count;
  reg [8*80:1] name;

  initial begin
    file = $fopen("/dev/stdin", "r");
    count = $fscanf(file, "%s", name);
    $display("Hello, %0s!", name);
    $finish(0);
  end
endmodule
