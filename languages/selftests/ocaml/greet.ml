let () = Printf.printf "Hello, %s!\n" (read_line ())
