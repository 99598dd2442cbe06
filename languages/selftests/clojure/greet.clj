(let [name (read-line)]
  (println (str "Hello, " name "!")))
