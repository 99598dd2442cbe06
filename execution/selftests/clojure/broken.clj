(println "before")
(println missing)
