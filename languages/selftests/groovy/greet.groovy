def name = System.in.newReader().readLine()
println "Hello, $name!"
