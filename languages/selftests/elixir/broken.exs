IO.puts("before")
IO.puts(1 + )
