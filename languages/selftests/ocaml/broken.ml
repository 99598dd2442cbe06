let () = print_endline "before"
let number : int = "text"
