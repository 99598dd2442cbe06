echo "before"
let number: int = "text"
